"""`synfin explain CAPTURE --syn-flood`: the verdict over a capture, in windows of time.

Owns the layout. What the packets say comes from capture/handshakes.py, what it means from watch/verdict.py.
"""

from pathlib import Path

from synfin.engine.errors import UsageError


def show(path: Path, *, syn_flood: bool, window: float, as_json: bool, lang: str) -> None:
    """Print what the capture at `path` says; `window` in seconds.

    Raises UsageError: no --syn-flood, a file that is no capture, is empty or has no TCP in it, a window that is none.
    """
    if not syn_flood:
        raise UsageError("explain needs to be told what to look for: --syn-flood")
    raise UsageError(f"{path}: cannot be read yet")

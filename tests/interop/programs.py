"""`synfin` as a person runs it: in processes of their own, with a folder for control sockets that is the test's.

Owns the processes: what is started here has ended when the block is over.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PATIENCE = 30  # seconds
SYNFIN = (sys.executable, "-P", "-c", "import sys; from synfin.cli.main import run; sys.exit(run(sys.argv[1:]))")


class Programs:
    """Runs synfin with `runtime` as its XDG_RUNTIME_DIR, each command line prefixed by `prefix`."""

    def __init__(self, runtime: Path, prefix: Sequence[str] = (), synfin: Sequence[str] = SYNFIN) -> None:
        self.folder = runtime / "synfin"
        self.command = [*prefix, *synfin]
        self.started: list[subprocess.Popen[str]] = []
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(runtime),
            "SYNFIN_DEBUG": "1",
        }  # fmt: skip

    def start(
        self, *words: str, stdin: int | IO[str] | None = subprocess.DEVNULL, stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> "subprocess.Popen[str]":  # fmt: skip
        """Start `synfin words...`; its standard output and error are pipes where not told otherwise."""
        process = subprocess.Popen(
            [*self.command, *words], stdin=stdin, stdout=stdout, stderr=stderr, text=True,
            env=self.environment,
        )  # fmt: skip
        self.started.append(process)
        return process

    def serve(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command that says when it is ready: in its second line."""
        process = self.start(*words)
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        assert lines[1], process.stderr.read()
        return process

    def run(self, *words: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `synfin words...` to its end."""
        return subprocess.run(
            [*self.command, *words], input=given, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env=self.environment, stdin=subprocess.DEVNULL if given is None else None,
        )  # fmt: skip

    def close(self) -> None:
        """End what was started."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except (subprocess.TimeoutExpired, ValueError):
                process.kill()
                process.wait()


@contextmanager
def programs(runtime: Path, prefix: Sequence[str] = (), synfin: Sequence[str] = SYNFIN) -> Iterator[Programs]:
    made = Programs(runtime, prefix, synfin)
    try:
        yield made
    finally:
        made.close()


def ended(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not yet fetched."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True

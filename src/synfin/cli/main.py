"""The command `synfin`: from a command line to an exit status.

Owns what a person sees when something goes wrong: one line on stderr and a status (2 for a mistake of the caller, 1 for one
of synfin), never a traceback. Imports click only when it is called.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell reports it
READER_GONE: Final = 141  # 128 + SIGPIPE
BUG: Final = 1
DEBUG: Final = "SYNFIN_DEBUG"  # set: an unexpected error shows where it arose


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run `synfin` with `arguments`; returns the exit status and raises nothing."""
    _open_what_is_closed()
    try:
        status = _execute(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return READER_GONE
    except OSError as error:
        return _complain(f"synfin: {_in_words(error)}", USAGE)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        kind = type(error).__name__
        return _complain(f"synfin: unexpected {kind}: {error} (a bug; with {DEBUG}=1 it shows where)", BUG)


def _open_what_is_closed() -> None:
    """A standard stream that the caller closed (`>&-`) goes nowhere; left closed, its descriptor would be the next file's."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  as long as we live


def _execute(arguments: Sequence[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show an arrow gets a question mark
    try:
        import click  # noqa: PLC0415  may be missing

        from synfin.cli.commands import synfin  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        return _complain("synfin: the command line needs click: pip install 'synfin[cli]'", USAGE)

    from synfin.engine.errors import UsageError  # noqa: PLC0415  after the first answer to a missing extra

    name = "synfin"
    try:
        with synfin.make_context(name, list(arguments)) as context:
            synfin.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        inner = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else name
        return _complain(f"{inner}: {error.format_message()}", USAGE)
    except UsageError as error:
        return _complain(f"{name}: {error}", USAGE)
    return 0


def _complain(line: str, status: int) -> int:
    print(" ".join(line.split()), file=sys.stderr)
    return status


def _in_words(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _forget_stdout() -> None:
    """Let the interpreter's own last flush go nowhere: who read us (`| head`) has seen enough."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())

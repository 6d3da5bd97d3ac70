"""The command of `synfin` that plays packetdrill scripts: what may be typed after it, with its help.

Owns its options. What it does lies in cli/packetdrill.py, loaded when it runs.
"""

from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from synfin.cli.parameters import lang_option, output_file

MOST_JOBS: Final = 64

# Options that say something only with --record, and those that say nothing with it: a recording is played once, strictly.
OF_RECORD: Final = {"output": "--output", "side": "--side", "connection": "--connection"}
OF_PLAY: Final = {
    "strict": "--strict", "defines": "--define", "xfail": "--xfail", "jobs": "--jobs", "as_json": "--json", "junit": "--junit",
    "ladder": "--no-ladder",
}  # fmt: skip
OF_PLAY_TWICE: Final = {"family": "--family", "fast_path": "--fast-path"}  # where the choice is "both"


def _definition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.isidentifier():
        raise click.BadParameter(f"{text!r} is not SYMBOL=VALUE")
    return name, value if equals else "1"


def _check_goes_together(source: Path | None, options: dict[str, Any]) -> None:
    """Raises click.UsageError for an option that was given and would be ignored."""
    given = click.get_current_context().get_parameter_source
    strange, rule = (OF_RECORD, "goes with --record alone") if source is None else (OF_PLAY, "does not go with --record")
    for name, written in strange.items():
        if given(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{written} {rule}.")
    for name, written in OF_PLAY_TWICE.items():
        if source is not None and options[name] == "both":
            raise click.UsageError(f"{written} both does not go with --record.")


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--profile", default="rfc", show_default=True, metavar="rfc|linux|freebsd|FILE", help="What the stack chooses.")
@click.option(
    "--family", type=click.Choice(["ipv4", "ipv6", "both"]), help="IP version; otherwise the script's own, or ipv4."
)
@click.option("--fast-path", type=click.Choice(["on", "off", "both"]), default="on", show_default=True,
              help="The engine's; both: what leaves must be the same to the byte.")
@click.option("--strict", is_flag=True, help="Also compare echoes, checksums, payload; nothing after the last packet.")
@click.option("--loose-push", is_flag=True, help="Leave PSH uncompared.")
@click.option("--loose-window", is_flag=True, help="Leave windows uncompared.")
@click.option("--loose-options", is_flag=True, help="Leave TCP options uncompared.")
@click.option("--loose-ecn", is_flag=True, help="Leave ECN, in both headers, uncompared.")
@click.option("--loose-urgent", is_flag=True, help="Leave urgent pointers uncompared.")
@click.option("-D", "--define", "defines", multiple=True, type=_definition, metavar="SYMBOL=VALUE", help="Substitute a word.")
@click.option("--xfail", type=click.Path(path_type=Path), metavar="FILE", help="Scripts that are known to fail, and why.")
@click.option("--jobs", "-j", type=click.IntRange(0, MOST_JOBS), default=0, metavar="N", help="Processes; 0: one a core.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a play and line instead.")
@click.option("--junit", type=output_file, metavar="FILE", help="Write the verdicts as JUnit's XML too.")
@click.option("--no-ladder", "ladder", flag_value=False, default=True, help="Draw no ladder of a failure.")
@click.option("--quiet", "-q", is_flag=True, help="Failures and the summary only.")
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a script from a capture (pcap, pcapng) or a trace (JSON of synfin demo) instead.")
@click.option("--output", "-o", type=output_file, metavar="FILE", help="Where --record writes it; otherwise to stdout.")
@click.option("--side", default="client", show_default=True, metavar="client|server|HOST", help="Whose script --record writes.")
@click.option("--connection", type=click.IntRange(1), metavar="N", help="Which connection --record takes, from 1.")
@lang_option
def packetdrill(paths: tuple[Path, ...], **options: Any) -> None:
    """Play packetdrill scripts against synfin's TCP, in virtual time; of a folder, all its .pkt files.

    \b
    synfin packetdrill handshake.pkt
    synfin packetdrill tests/scripts --strict --family both --fast-path both
    synfin packetdrill suite --profile linux --xfail known.txt --junit report.xml
    synfin packetdrill one.pkt --json -D CC=reno
    synfin packetdrill --record trouble.pcapng --side server -o trouble.pkt

    The exit status is 1 when a script fails or cannot be read, 2 when the command makes no sense.
    Blocks of code in a script run as Python: play only scripts that you would run.
    """
    from synfin.cli import packetdrill as command  # noqa: PLC0415  loads the stack

    if (options["record"] is None) == (not paths):
        missing = options["record"] is None
        raise click.UsageError("Missing argument 'FILE...'." if missing else "--record takes no scripts to play.")
    _check_goes_together(options["record"], options)
    source, target = options.pop("record"), options.pop("output")
    side, connection = options.pop("side"), options.pop("connection")
    loose = frozenset(name.removeprefix("loose_") for name in options if name.startswith("loose_") and options[name])
    kept = {name: value for name, value in options.items() if not name.startswith("loose_")}
    chosen = command.Options(loose=loose, **kept)
    if source is not None:
        from synfin.cli import recording  # noqa: PLC0415  so does this

        what = recording.Recording(source=source, target=target, side=side, connection=connection)
        raise click.exceptions.Exit(recording.record(what, chosen))
    raise click.exceptions.Exit(command.play(paths, chosen))


COMMANDS: Final = (packetdrill,)

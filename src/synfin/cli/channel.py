"""The commands of `synfin` about channels: what may be typed after each, with its help.

Owns their options. What a command does lies in a module of its own, loaded when it runs.
"""

import sys
from typing import Any, Final

import click

from synfin.cli.parameters import lang_option, seconds

LISTEN: Final = "listen"
PORT: Final = 7007


@click.command()
@click.argument("host", metavar="listen|HOST")
@click.argument("port", required=False, type=click.IntRange(1, 65_535))
@click.option("--port", "listen_port", type=click.IntRange(0, 65_535), metavar="N", help=f"Listen there; otherwise {PORT}.")
@click.option("--address", metavar="ADDRESS", help="Listen at this address of ours alone; 0.0.0.0, every one, by default.")
@click.option("--udp/--tcp", default=True, help="What carries the messages; UDP by default.")
@click.option("--every", type=seconds(positive=True), metavar="SECONDS", help="Again and again, so long apart.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many checks.")
@click.option(
    "--patience",
    type=seconds(positive=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option(
    "--rest",
    type=seconds(positive=False),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long not to ask after a check that failed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step and line instead.")
@lang_option
def probe(host: str, port: int | None, listen_port: int | None, address: str | None, **options: Any) -> None:
    """Check in three messages that HOST hears us and we hear it, step by step: "1+1?" - "2, and 2+2?" - "4".

    The exit status is 0 when the last check found both directions, 1 otherwise, 2 for a mistake in the command.

    \b
    synfin probe listen                        on one machine
    synfin probe server 7007                   on another: one check
    synfin probe server 7007 --every 10        until Ctrl-C
    synfin probe listen --tcp --port 9000
    """  # fmt: skip
    if host == LISTEN:
        if port is not None or options["every"] is not None:
            raise click.UsageError("probe listen answers others: it takes --port N, no PORT and no --every")
    elif port is None:
        raise click.UsageError("which PORT of HOST? Or did you mean: synfin probe listen")
    elif listen_port is not None or address is not None:
        raise click.UsageError("--port and --address say where to listen; HOST is reached at PORT: synfin probe HOST PORT")
    from synfin.cli import probe as module  # noqa: PLC0415  loads asyncio

    chosen = module.Options(**options)
    if host == LISTEN:
        sys.exit(module.listen(address or "0.0.0.0", PORT if listen_port is None else listen_port, chosen))
    assert port is not None
    sys.exit(module.check(host, port, chosen))


COMMANDS: Final = (probe,)

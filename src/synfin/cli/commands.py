"""The commands and options of `synfin`, with their help: one click group.

Owns what may be typed and how a mistake in it is told, in one line. What a command does lies in a module of its own, loaded
when the command runs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from synfin.cli import channel, experiments, flood, network, scripts
from synfin.cli.parameters import lang_option, output_file

LARGEST_DELAY: Final = 3_600_000.0  # ms; an hour, beyond which every connection has given up
SEQUENCE_NUMBERS: Final = 1 << 32


def percentage(text: str) -> float:
    """0 to 100, with or without a percent sign."""
    return _number(text, "%", 100.0, f"{text!r} is not a percentage from 0 to 100")


def milliseconds(text: str) -> float:
    """A time in milliseconds, with or without `ms`."""
    return _number(text, "ms", LARGEST_DELAY, f"{text!r} is not a time from 0 to {LARGEST_DELAY:,.0f} ms")


def _number(text: str, unit: str, largest: float, rule: str) -> float:
    try:
        number = float(text.removesuffix(unit))
    except ValueError:
        number = -1.0
    if not 0 <= number <= largest:  # also not a number
        raise click.BadParameter(rule)
    return number


def whole_number(least: int) -> Callable[[str], int]:
    """What turns text into a number from `least` on."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 100 and int(text) >= least):
            raise click.BadParameter(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return number


def sequence_numbers(text: str) -> tuple[int, int]:
    """Two initial sequence numbers, the client's and the server's: `1234567,7654321`; hexadecimal with 0x."""
    try:
        numbers = [int(part, 0) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 2 or not all(0 <= number < SEQUENCE_NUMBERS for number in numbers):
        raise click.BadParameter(f"{text!r} is not two numbers from 0 to 2^32 - 1 with a comma between: 1234567,7654321")
    return numbers[0], numbers[1]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="synfin", prog_name="synfin", message="%(prog)s %(version)s")
@click.pass_context
def synfin(context: click.Context) -> None:
    """A complete TCP in Python, from the first SYN to the last FIN: run it, watch it, break it on purpose.

    \b
    synfin demo                the whole life of a connection, as a ladder
    synfin demo --list         what else there is to see
    synfin states SYN_RECV     what a state means, and what many of it mean
    synfin serve http .        a service on synfin's TCP, for this machine's own programs
    synfin ss                  the sockets of what runs
    synfin watch               half-open connections, queues, and whether somebody floods them
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@synfin.command()
@click.argument("scenario", required=False)
@click.option("--list", "listing", is_flag=True, help="The scenarios, one a line, name first.")
@click.option("--seed", type=whole_number(0), default="1", show_default=True, metavar="N", help="Decides every chance.")
@click.option("--loss", type=percentage, metavar="PERCENT", help="So much of what is sent is lost, both ways.")
@click.option("--delay", type=milliseconds, metavar="MS", help="One-way delay of the link.")
@click.option("--svg", type=output_file, metavar="FILE", help="Write the ladder as an SVG too.")
@click.option("--pcap", type=output_file, metavar="FILE", help="Write the packets as a pcapng too.")
@click.option("--json", "as_json", is_flag=True, help="The events instead of the ladder, one JSON object a line.")
@click.option("--isn", type=sequence_numbers, metavar="X,Y", help="Initial sequence numbers of client and server.")
@click.option("--absolute", is_flag=True, help="Sequence numbers as on the wire instead of counted from the SYN.")
@click.option("--segment", type=whole_number(1), metavar="N", help="Draw the header of the N-th segment instead.")
@lang_option
def demo(scenario: str | None, listing: bool, **options: Any) -> None:
    """Play SCENARIO in virtual time and draw it; without one, the whole life of a connection.

    \b
    synfin demo
    synfin demo lost-syn --lang zh
    synfin demo --loss 20 --seed 7 --svg life.svg --pcap life.pcapng
    synfin demo three-way-handshake --isn 1234567,7654321 --absolute
    synfin demo --segment 2
    """
    from synfin.cli import demo as command  # noqa: PLC0415  loads the simulator

    if listing:
        if scenario is not None:
            raise click.UsageError("--list shows all scenarios: it takes no name")
        command.list_scenarios(options["lang"], options["as_json"])
        return
    command.play(scenario, command.Options(**options))


@synfin.command()
@click.argument("name", required=False)
@click.option("--svg", type=output_file, metavar="FILE", help="Write the diagram of all states as an SVG.")
@lang_option
def states(name: str | None, svg: Path | None, lang: str) -> None:
    """Draw the eleven states and their moves, or explain the one called NAME, in any spelling.

    \b
    synfin states
    synfin states CLOSE_WAIT
    synfin states syn_rcvd --lang zh
    synfin states --svg states.svg
    """
    from synfin.cli import states as command  # noqa: PLC0415

    command.show(name, svg, lang)


for _command in (
    *network.COMMANDS, *channel.COMMANDS, *flood.COMMANDS, *experiments.COMMANDS, *scripts.COMMANDS,
):  # fmt: skip
    synfin.add_command(_command)

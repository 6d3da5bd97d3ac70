"""The commands of `synfin` about SYN floods: what may be typed after each, with its help.

Owns their options. What a command does lies in a module of its own, loaded when it runs.
"""

from pathlib import Path
from typing import Final

import click

from synfin.cli.network import name_option, pid_option
from synfin.cli.parameters import lang_option

SHORTEST: Final = 0.05  # seconds
LONGEST: Final = 3600.0
LOOPBACK: Final = "127.0.0.1"


def seconds(text: str) -> float:
    """A time in seconds, with or without `s`."""
    try:
        number = float(text.removesuffix("s"))
    except ValueError:
        number = 0.0
    if not SHORTEST <= number <= LONGEST:  # also not a number
        raise click.BadParameter(f"{text!r} is not a time from {SHORTEST} to {LONGEST:,.0f} s")
    return number


def metrics_address(text: str) -> tuple[str, int]:
    """Where the metrics are served: `9100`, `0.0.0.0:9100`, `[::1]:9100`."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16) or bool(colon) != bool(host):
        raise click.BadParameter(f"{text!r} is not PORT or HOST:PORT: 9100, 0.0.0.0:9100, [::1]:9100")
    return host or LOOPBACK, int(port)


@click.command()
@click.option("--kernel", is_flag=True, help="The kernel of this network namespace only.")
@name_option
@pid_option
@click.option("--half-open", is_flag=True, help="List every half-open connection, once.")
@click.option("--once", is_flag=True, help="Two samples, one report; status 0 none, 4 suspected, 3 flood.")
@click.option(
    "--interval", type=seconds, default="1", show_default=True, metavar="SECONDS",
    help="Time between samples.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a source and sample, one a line.")
@click.option("--prometheus", type=metrics_address, metavar="[HOST:]PORT", help="Serve metrics, at 127.0.0.1 by default.")
@lang_option
@click.pass_context
def watch(
    context: click.Context, kernel: bool, name: str | None, pid: int | None, half_open: bool, once: bool, interval: float,
    as_json: bool, prometheus: tuple[str, int] | None, lang: str,
) -> None:  # fmt: skip
    """Watch listeners and say whether somebody floods them with SYNs: the kernel's and those of every running synfin.

    \b
    synfin watch
    synfin watch --kernel --half-open
    synfin watch --once || echo "flood or suspected"
    synfin watch --name synfin --json --interval 0.5
    synfin watch --prometheus 9100
    """
    if half_open and (once or prometheus is not None):
        raise click.UsageError("--half-open lists once: it does not go with --once or --prometheus")
    if once and prometheus is not None:
        raise click.UsageError("--once ends after one report: there is nothing to serve with --prometheus")
    from synfin.cli import watch as module  # noqa: PLC0415

    which = module.Which(kernel=kernel, name=name, pid=pid)
    if half_open:
        module.list_half_open(which, as_json, lang)
        return
    wanted = module.Wanted(interval=interval, as_json=as_json, prometheus=prometheus, lang=lang)
    context.exit(module.once(which, wanted) if once else module.watch(which, wanted))


@click.command()
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--syn-flood", is_flag=True, help="Whether somebody floods a listener with SYNs.")
@click.option(
    "--window", type=seconds, default="10", show_default=True, metavar="SECONDS",
    help="Length of the windows of time.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a window and line instead.")
@lang_option
def explain(capture: Path, syn_flood: bool, window: float, as_json: bool, lang: str) -> None:
    """Explain what happened in CAPTURE, a pcap or pcapng file.

    \b
    synfin explain capture.pcapng --syn-flood
    synfin explain capture.pcap --syn-flood --window 1 --json
    """
    from synfin.cli import explain as module  # noqa: PLC0415

    module.show(capture, syn_flood=syn_flood, window=window, as_json=as_json, lang=lang)


COMMANDS: Final = (watch, explain)

"""The commands of `synfin` that need a real network: what may be typed after each, with its help.

Owns their options. What a command does lies in a module of its own, loaded when it runs.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from synfin.cli.parameters import lang_option, output_file
from synfin.cli.parameters import seconds as time

SMALLEST_MTU: Final = 1280  # bytes, RFC 8200 5
LARGEST_MTU: Final = 65_535

name_option = click.option("--name", metavar="NAME", help="Which running synfin, where there are several.")
pid_option = click.option("--pid", type=click.IntRange(min=1), metavar="N", help="Which running synfin, by its process.")


def network_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what makes or joins a network; they arrive as `network`, a session.Network."""

    @click.option("--name", default="synfin", show_default=True, metavar="NAME", help="For a second network beside the first.")
    @click.option("--tun", metavar="NAME", help="An existing TUN interface instead of one in a namespace.")
    @click.option("--mtu", type=click.IntRange(SMALLEST_MTU, LARGEST_MTU), default=1500, show_default=True, metavar="BYTES")
    @click.option("--no-offload", "offload", flag_value=False, default=True, help="One packet at a time, with its checksum.")
    @click.option("--pcap", type=output_file, metavar="FILE", help="Write the packets as a pcapng too.")
    @click.option("--ladder", is_flag=True, help="Draw what happened, at the end.")
    @lang_option
    @functools.wraps(command)
    def with_network(
        *arguments: Any, name: str, tun: str | None, mtu: int, offload: bool, pcap: Path | None, ladder: bool, lang: str,
        **options: Any,
    ) -> None:  # fmt: skip
        from synfin.cli.session import Network  # noqa: PLC0415  loads asyncio

        network = Network(name=name, mtu=mtu, offload=offload, tun=tun, pcap=pcap, ladder=ladder, lang=lang)
        command(*arguments, network=network, **options)

    return with_network


@click.command()
@click.argument("service", type=click.Choice(["echo", "discard", "chargen", "http"]))
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True, metavar="N")
@network_options
def serve(service: str, directory: Path | None, port: int, network: Any) -> None:
    """Serve echo, discard, chargen, or a DIRECTORY over http, on synfin's TCP.

    \b
    synfin serve http .
    synfin exec -- curl http://10.77.0.2:8000/      in a second terminal
    synfin serve echo --port 7 --pcap echo.pcapng --ladder
    """
    from synfin.cli import serve as module  # noqa: PLC0415

    sys.exit(module.serve(service, directory, port, network))


@click.command()
@network_options
def up(network: Any) -> None:
    """Make a network that stays: serve, connect, ping and exec of the same name meet in it.

    \b
    synfin up
    synfin exec -- ping 10.77.0.2                    in a second terminal
    """
    from synfin.cli import up as module  # noqa: PLC0415

    sys.exit(module.up(network))


@click.command()
@click.argument("host")
@click.argument("port", type=click.IntRange(1, 65_535))
@network_options
def connect(host: str, port: int, network: Any) -> None:
    """Connect standard input and output to PORT of HOST, like netcat; the end of the input is a FIN.

    \b
    synfin connect 10.77.0.1 8000
    synfin connect kernel 8000 --ladder < request
    """
    from synfin.cli import connect as module  # noqa: PLC0415

    sys.exit(module.connect(host, port, network))


@click.command()
@click.argument("host", required=False)
@click.option("--count", "-c", type=click.IntRange(1), default=4, show_default=True, metavar="N")
@network_options
def ping(host: str | None, count: int, network: Any) -> None:
    """Ping HOST from synfin's stack; without one, the kernel's end of the wire."""
    from synfin.cli import ping as module  # noqa: PLC0415

    sys.exit(module.ping(host, count, network))


@click.command()
@click.argument("state")
@click.option("--seconds", type=time(positive=False), default=10.0, show_default=True, metavar="N", help="How long to hold it.")
@network_options
def hold(state: str, seconds: float, network: Any) -> None:
    """Bring a connection of the kernel's into STATE, in any spelling, and show it in the kernel's own words.

    \b
    synfin hold SYN_RECV
    synfin hold last-ack --seconds 60
    """
    from synfin.cli import hold as module  # noqa: PLC0415

    sys.exit(module.hold(state, seconds, network))


@click.command()
@click.argument("words", nargs=-1, metavar="[state STATE]")
@name_option
@pid_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a socket and line instead.")
@lang_option
def ss(words: tuple[str, ...], name: str | None, pid: int | None, as_json: bool, lang: str) -> None:
    """Show the sockets of what runs: state, queues, timers, rtt, cwnd, as ss -ti shows the kernel's.

    With a STATE, in any spelling, only those in it; half-open ones with their age, the kernel's too.

    \b
    synfin ss
    synfin ss state established
    synfin ss state syn-recv
    """
    from synfin.cli import ss as module  # noqa: PLC0415

    module.show(name, pid, as_json, words, lang)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@name_option
@pid_option
def execute(command: tuple[str, ...], name: str | None, pid: int | None) -> None:
    """Run COMMAND inside the network of a running synfin; its status is ours.

    \b
    synfin exec -- curl http://10.77.0.2:8000/
    synfin exec -- ss -tan
    """
    from synfin.cli import exec as module  # noqa: PLC0415

    module.execute(command, name, pid)


COMMANDS: Final = (up, serve, connect, ping, ss, hold, execute)

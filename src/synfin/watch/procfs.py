"""The kernel's counters and limits of TCP, of one network namespace: /proc/PID/net/netstat, snmp and /proc/sys/net.

Owns which of the kernel's names stands for which of ours. Columns are found by their heading; one that a kernel does not have
is None. Knows no socket.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synfin.watch.sample import Counts

OWN: Final = Path("/proc/thread-self/net")
SETTINGS: Final = Path("/proc/sys/net")  # of the namespace of who reads

NUMBER: Final = re.compile(r"-?[0-9]+", re.ASCII)

Numbers = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Settings that say when a queue is full; None where they cannot be read. Ports are the first and the last."""

    max_syn_backlog: int | None = None
    somaxconn: int | None = None
    syncookies: int | None = None  # 0 never, 1 at pressure, 2 always
    synack_retries: int | None = None
    ports: tuple[int, int] | None = None


def network(pid: int | None = None) -> Path:
    """The folder that tells of the network namespace of process `pid`; None: of this thread."""
    return OWN if pid is None else Path(f"/proc/{pid}/net")


def parse(text: str) -> Numbers:
    """The numbers of a file in the shape of /proc/net/netstat, named `TcpExt.SyncookiesSent`.

    A group is two lines that begin with the same word: names, then values. What has another shape is stepped over.
    """
    found: Numbers = {}
    names: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if names and words and words[0] == names[0]:
            group = words[0].rstrip(":")
            pairs = zip(names[1:], words[1:], strict=False)
            found.update((f"{group}.{name}", int(value)) for name, value in pairs if NUMBER.fullmatch(value))
            names = []
        else:
            names = words
    return found


def read(where: Path) -> Numbers:
    """All numbers of `where`/netstat and `where`/snmp. Raises OSError when neither can be read."""
    found: Numbers = {}
    error: OSError | None = None
    for name in ("netstat", "snmp"):
        try:
            found |= parse((where / name).read_text(encoding="ascii", errors="replace"))
        except OSError as this:
            error = this
    if not found and error is not None:
        raise error
    return found


def counts(numbers: Numbers) -> Counts:
    """The kernel's numbers as ours, for all listeners of the namespace together.

    `syn_ack_repeats` is TCPSynRetrans, in which the kernel counts SYN,ACKs that it repeats and SYNs of its own that it
    repeats alike. `completed` is PassiveOpens: by queue or by cookie. SYNs that found the SYN queue full are those that
    listeners dropped (ListenDrops) for another reason than the accept queue (ListenOverflows, which counts final ACKs too);
    it is more than TCPReqQFullDrop, since with cookies off the last quarter of tcp_max_syn_backlog takes nobody unknown.
    `resets` is EmbryonicRsts. The kernel keeps no number of SYNs, nor of half-open entries that expired.
    """

    def number(name: str) -> int | None:
        return numbers.get(name)

    drops, overflows = number("TcpExt.ListenDrops"), number("TcpExt.ListenOverflows")
    full = number("TcpExt.TCPReqQFullDrop")
    queue_drops = None if drops is None or overflows is None else max(drops - overflows, full or 0)
    return Counts(
        syn_ack_repeats=number("TcpExt.TCPSynRetrans"),
        completed=number("Tcp.PassiveOpens"),
        cookies_sent=number("TcpExt.SyncookiesSent"),
        cookies_accepted=number("TcpExt.SyncookiesRecv"),
        cookies_refused=number("TcpExt.SyncookiesFailed"),
        syn_queue_drops=full if queue_drops is None else queue_drops,
        accept_queue_drops=overflows,
        resets=number("TcpExt.EmbryonicRsts"),
    )


def limits(settings: Path = SETTINGS) -> Limits:
    """The limits of the namespace that this process is in; the kernel shows those of no other."""

    def numbers(name: str) -> list[int]:
        try:
            return [int(word) for word in (settings / name).read_text(encoding="ascii").split()]
        except (OSError, ValueError):
            return []

    def one(name: str) -> int | None:
        found = numbers(name)
        return found[0] if found else None

    ports = numbers("ipv4/ip_local_port_range")
    return Limits(
        max_syn_backlog=one("ipv4/tcp_max_syn_backlog"),
        somaxconn=one("core/somaxconn"),
        syncookies=one("ipv4/tcp_syncookies"),
        synack_retries=one("ipv4/tcp_synack_retries"),
        ports=(ports[0], ports[1]) if len(ports) == 2 else None,
    )

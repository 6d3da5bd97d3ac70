"""`synfin ss`: the sockets of the synfins that run, as `ss -ti` shows the kernel's, with RFC 9293's names of the states.

Owns the layout. What it shows comes over the control socket, as control/rows.py tells it.
"""

import os
from collections.abc import Iterable
from typing import Any, Final

from synfin.cli.output import json_lines
from synfin.control.client import Gone, ask, find
from synfin.engine.errors import UsageError

HEAD: Final = ("State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "")
MILLISECOND: Final = 1_000_000  # ns
UNLIMITED: Final = 0x7FFF_FFFF  # a slow start threshold that has never been set

Row = dict[str, Any]


def show(name: str | None, pid: int | None, as_json: bool) -> None:
    """Print the sockets of all that run, or of one. Raises UsageError when none does."""
    found = find(os.environ, name=name, pid=pid)
    answered = 0
    for place, status in found:
        try:
            answer, _, line = ask(place, {"ask": "sockets"})
        except Gone:
            continue
        line.close()
        rows: list[Row] = answer["sockets"]
        if as_json:
            for each in json_lines({"name": place.name, "pid": place.pid, **row} for row in rows):
                print(each)
        else:
            if answered:
                print()
            print(f"# {place.name}, process {place.pid}: {status['command']}, {', '.join(status['addresses'])}")
            print("\n".join(table(rows)))
        answered += 1
    if not answered:
        raise UsageError("no synfin is running; start one with: synfin up")


def table(rows: Iterable[Row]) -> list[str]:
    """The lines for `rows`, the heading first."""
    cells = [HEAD]
    for row in rows:
        sizes = (str(row["receive_queue"]), str(row["send_queue"]))
        cells.append((row["state"], *sizes, _end(row["local"]), _end(row["remote"]), _timer(row.get("timer"))))
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD) - 1)]
    lines = []
    details = [None, *(row.get("info") for row in rows)]
    for line, info in zip(cells, details, strict=True):
        left = f"{line[0]:<{widths[0]}} {line[1]:>{widths[1]}} {line[2]:>{widths[2]}} "
        lines.append((left + f"{line[3]:<{widths[3]}} {line[4]:<{widths[4]}} {line[5]}").rstrip())
        if info is not None:
            lines.append("\t " + _details(info))
    return lines


def _end(end: tuple[str, int]) -> str:
    address, port = end
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{port or '*'}"


def _timer(timer: tuple[str, int, int] | None) -> str:
    """As ss -o: timer:(on,200ms,0)."""
    if timer is None:
        return ""
    name, left, times = timer
    return f"timer:({name},{_time(left)},{times})"


def _time(nanoseconds: int) -> str:
    milliseconds = nanoseconds // MILLISECOND
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = milliseconds / 1000
    return f"{seconds:.3g}sec" if seconds < 60 else f"{int(seconds) // 60}min{int(seconds) % 60}sec"


def _details(info: Row) -> str:
    """rtt and rto in milliseconds, cwnd in segments, as ss -i."""
    parts = ["ts"] if info["timestamps"] else []
    parts += [
        f"wscale:{info['tcpi_snd_wscale']},{info['tcpi_rcv_wscale']}",
        f"rto:{info['tcpi_rto'] / 1000:g}",
        f"rtt:{info['tcpi_rtt'] / 1000:g}/{info['tcpi_rttvar'] / 1000:g}",
        f"mss:{info['tcpi_snd_mss']}",
        f"pmtu:{info['tcpi_pmtu']}",
        f"cwnd:{info['tcpi_snd_cwnd']}",
    ]
    if info["tcpi_snd_ssthresh"] < UNLIMITED // max(info["tcpi_snd_mss"], 1):
        parts.append(f"ssthresh:{info['tcpi_snd_ssthresh']}")
    for name, field in (("backoff", "tcpi_backoff"), ("unacked", "tcpi_unacked"), ("notsent", "tcpi_notsent_bytes")):
        if info[field]:
            parts.append(f"{name}:{info[field]}")
    parts += [f"snd_wnd:{info['tcpi_snd_wnd']}", f"rcv_wnd:{info['tcpi_rcv_wnd']}"]
    return " ".join(parts)

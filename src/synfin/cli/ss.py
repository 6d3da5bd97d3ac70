"""`synfin ss`: the sockets of the synfins that run, as `ss -ti` shows the kernel's, with RFC 9293's names of the states.

Owns the layout. What it shows comes over the control socket, as control/rows.py tells it.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

from synfin.cli.output import json_lines
from synfin.control.client import Gone, ask, find
from synfin.engine.errors import UsageError
from synfin.engine.info import OPTION_SACK
from synfin.engine.state import State, parse_state

HEAD: Final = ("State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "")
MILLISECOND: Final = 1_000_000  # ns
UNLIMITED: Final = 0x7FFF_FFFF  # a slow start threshold that has never been set
# In ss's order; what is 0 is left out, as there.
COUNTERS: Final = tuple(
    (name, f"tcpi_{name}")
    for name in (
        "bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out", "segs_in", "data_segs_out", "data_segs_in",
    )
)  # fmt: skip

Row = dict[str, Any]


def show(name: str | None, pid: int | None, as_json: bool, words: Sequence[str] = (), lang: str = "en") -> None:
    """Print the sockets of all that run, or of one; `words` may ask for one state: `state syn-recv`.

    Half-open connections are listed with their age and the SYN-ACKs sent, those of the kernel too unless one synfin is asked
    for. Raises UsageError when none runs, or for words that mean no state.
    """
    state = wanted(words)
    if state is State.SYN_RECEIVED:
        from synfin.cli.watch import Which, list_half_open  # noqa: PLC0415  needs rich

        list_half_open(Which(name=name, pid=pid), as_json, lang)
        return
    found = find(os.environ, name=name, pid=pid)
    answered = 0
    for place, status in found:
        try:
            answer, _, line = ask(place, {"ask": "sockets"})
        except Gone:
            continue
        line.close()
        rows: list[Row] = [row for row in answer["sockets"] if state is None or row["state"] == str(state)]
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


def wanted(words: Sequence[str]) -> State | None:
    """The state in `state NAME`, in any spelling; None where nothing is said."""
    if not words:
        return None
    if words[0] != "state" or len(words) != 2:
        raise UsageError(f"ss takes nothing or a state: synfin ss state syn-recv, not {' '.join(words)!r}")
    state = parse_state(words[1])
    if state is State.CLOSED:
        raise UsageError("CLOSED is the absence of a connection: no tool has a row for it")
    return state


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
    parts += ["sack"] if info.get("tcpi_options", 0) & OPTION_SACK else []
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
    parts += [f"{name}:{info[field]}" for name, field in COUNTERS if info.get(field)]
    if info.get("tcpi_total_retrans"):
        parts.append(f"retrans:{info.get('tcpi_retrans', 0)}/{info['tcpi_total_retrans']}")
    for name, field in (("backoff", "tcpi_backoff"), ("unacked", "tcpi_unacked"), ("notsent", "tcpi_notsent_bytes")):
        if info[field]:
            parts.append(f"{name}:{info[field]}")
    parts += [f"snd_wnd:{info['tcpi_snd_wnd']}", f"rcv_wnd:{info['tcpi_rcv_wnd']}"]
    return " ".join(parts)

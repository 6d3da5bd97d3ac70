"""Reads the events of a run from JSON, one object a line, as `synfin demo --json` writes them: what a recording needs of them.

Owns the way back from events.event_to_json. Packets are built anew, with zeros for their payload, which no event tells.
"""

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from synfin.engine.errors import UsageError
from synfin.engine.segment import FLAG_NAMES, NEW_DATA, REASON_NAMES, Outgoing
from synfin.packetdrill.record import RecordError
from synfin.stack.addresses import make_key
from synfin.trace.events import Called, Fault, SegmentCorrupted, SegmentDelivered, SegmentSent, TraceEvent
from synfin.trace.recorder import Trace
from synfin.wire.packet import build_packet

BITS: Final = {name: bit for bit, name in FLAG_NAMES}
REASONS: Final = {name: number for number, name in enumerate(REASON_NAMES)} | {"injected": -1}


def read_trace(lines: Iterable[str]) -> Trace:
    """The trace that `lines` tell; packets, calls and faults alone. Raises RecordError for a line that is no event."""
    trace = Trace()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            event = _event(told)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, UsageError):
            raise RecordError(f"line {number} is no event of a trace") from None
        if event is not None:
            trace.events.append(event)
            if event.host:
                trace.addresses.setdefault(event.host, ())
    return trace


def _event(told: Mapping[str, Any]) -> TraceEvent | None:
    time, host, connection = int(told["time"]), str(told["host"]), str(told["connection"])
    kind = told["event"]
    if kind == Called.kind:
        return Called(
            time, host, connection, str(told["call"]), str(told["arguments"]), int(told["started"]), str(told["result"]),
            int(told["error"]),
        )  # fmt: skip
    if kind == Fault.kind:
        return Fault(time, host, connection, str(told["what"]), str(told["subject"]))
    if kind not in (SegmentSent.kind, SegmentDelivered.kind, SegmentCorrupted.kind) or "unreadable" in told:
        return None
    peer, packet, data = str(told["peer"]), int(told["packet"]), _packet(told)
    if kind == SegmentSent.kind:
        return SegmentSent(time, host, connection, peer, packet, data, REASONS.get(told["reason"], NEW_DATA))
    if kind == SegmentCorrupted.kind:
        return SegmentCorrupted(time, host, connection, peer, packet, data, tuple(map(int, told["bits"])))
    return SegmentDelivered(time, host, connection, peer, packet, data)


def _end(text: str) -> tuple[bytes, int]:
    address, _, port = text.rpartition(":")
    return ipaddress.ip_address(address.strip("[]")).packed, int(port)


def _packet(told: Mapping[str, Any]) -> bytes:
    flags = sum(BITS[name] for name in told["flags"].split(",") if name != "none")
    payload = bytes(min(int(told["length"]), 0xFFFF))
    out = Outgoing(int(told["seq"]), int(told["ack"]), flags, int(told["window"]), NEW_DATA, payload)
    out.urgent = int(told.get("urgent", 0))
    out.mss, out.wscale = int(told.get("mss", -1)), int(told.get("wscale", -1))
    out.sack_permitted = bool(told.get("sack_permitted"))
    out.sacks = tuple((int(left), int(right)) for left, right in told.get("sacks", ()))
    if "tsval" in told:
        out.has_timestamps, out.tsval, out.tsecr = True, int(told["tsval"]), int(told["tsecr"])
    return build_packet(make_key(*_end(told["destination"]), *_end(told["source"])), out, identification=0)

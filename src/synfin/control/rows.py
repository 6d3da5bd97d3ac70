"""The sockets of a stack as plain data, one row each: what `synfin ss` shows and any program may read as JSON.

Owns the shape of a row. Reads the stack, changes nothing. Times in nanoseconds, sizes in bytes, states as RFC 9293 writes them.
"""

from typing import Any, Final

from synfin.engine.config import NEVER
from synfin.engine.connection import Connection
from synfin.engine.entry import Entry
from synfin.engine.listener import Listener
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait
from synfin.stack.addresses import local_of, local_port_of, remote_of, remote_port_of, text
from synfin.stack.stack import Stack

Row = dict[str, Any]

TIMERS: Final = (
    ("retransmission", "on"), ("persist", "persist"), ("keepalive", "keepalive"), ("fin_wait_2", "timewait"),
)  # fmt: skip  the engine's name, and ss's


def rows(stack: Stack, now: int) -> list[Row]:
    """Every listener, half-open connection, connection and TIME-WAIT of `stack`, oldest first."""
    found = []
    for entry in stack.sockets():
        found.append(_row(entry, now))
        if isinstance(entry, Listener):
            found += [_half_open(*each) for each in entry.half_open_entries(now)]
    return found


def listeners(stack: Stack, now: int) -> Row:
    """What tells a SYN flood from a busy server: each listener's queues, counts and half-open entries; the sockets in each
    state, by RFC 9293's names; the counts of the whole stack, closed listeners among them."""
    found = []
    states: dict[str, int] = {}
    for entry in stack.sockets():
        states[str(entry.state)] = states.get(str(entry.state), 0) + 1
        if isinstance(entry, Listener):
            found.append(_listener(entry, now))
    half_open = sum(each["half_open"] for each in found)
    if half_open:
        name = str(State.SYN_RECEIVED)
        states[name] = states.get(name, 0) + half_open
    return {"at": now, "listeners": found, "states": states, "totals": stack.listener_counts().as_dict()}


def _listener(listener: Listener, now: int) -> Row:
    names: dict[bytes, str] = {}  # the local addresses are few

    def local(key: bytes) -> str:
        packed = local_of(key)
        name = names.get(packed)
        if name is None:
            name = names[packed] = text(packed)
        return name

    return {
        "local": [text(local_of(listener.key)), local_port_of(listener.key)],
        "half_open": listener.half_open,
        "half_open_limit": listener.backlog,
        "accept_queue": listener.readable(),
        "accept_limit": listener.accept_limit,
        "counts": listener.counts.as_dict(),
        "entries": [
            [text(remote_of(key)), remote_port_of(key), age, syn_acks, local(key), local_port_of(key)]
            for key, age, syn_acks in listener.half_open_entries(now)
        ],
    }


def _ends(key: bytes) -> Row:
    return {
        "local": [text(local_of(key)), local_port_of(key)],
        "remote": [text(remote_of(key)), remote_port_of(key)],
    }


def _row(entry: Entry, now: int) -> Row:
    row: Row = {"state": str(entry.state), "receive_queue": 0, "send_queue": 0, **_ends(entry.key)}
    if isinstance(entry, Listener):
        row.update(receive_queue=entry.readable(), send_queue=entry.accept_limit)
    elif isinstance(entry, TimeWait):
        row["timer"] = ["timewait", max(entry.expires - now, 0), 0]
    elif isinstance(entry, Connection):
        row.update(
            receive_queue=entry.readable(), send_queue=entry.unacked(), timer=_timer(entry, now), info=_info(entry, now)
        )
    return row


def _half_open(key: bytes, age: int, syn_acks: int) -> Row:
    return {
        "state": str(State.SYN_RECEIVED), "receive_queue": 0, "send_queue": 0, **_ends(key), "age": age, "syn_acks": syn_acks
    }  # fmt: skip


def _timer(connection: Connection, now: int) -> list[Any] | None:
    """The timer that will act first, as [name, nanoseconds left, times it has acted]; None when none runs."""
    running = []
    for attribute, name in TIMERS:
        deadline = getattr(connection.timers, attribute, NEVER)
        if deadline != NEVER:
            running.append((deadline, name))
    if not running:
        return None
    deadline, name = min(running)
    return [name, max(deadline - now, 0), connection.sender.rtt.backoff]


def _info(connection: Connection, now: int) -> Row:
    """What JSON can carry of `info`."""
    found = {}
    for name, value in connection.info(now).items():
        found[name] = value if isinstance(value, int | str | float | bool) or value is None else str(value)
    return found

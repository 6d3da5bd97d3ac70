"""The sockets of a stack as plain data, one row each: what `synfin ss` shows and any program may read as JSON.

Owns the shape of a row. Reads the stack, changes nothing. Times in nanoseconds, sizes in bytes, states as RFC 9293 writes them.
"""

from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, Final

from synfin.engine.config import NEVER
from synfin.engine.connection import Connection
from synfin.engine.entry import Entry
from synfin.engine.listener import Listener
from synfin.engine.state import State
from synfin.engine.timewait import TimeWait
from synfin.stack.addresses import IP4_KEY, local_port_of, remote_port_of
from synfin.stack.stack import Stack

Row = dict[str, Any]

HALF_OPEN: Final = str(State.SYN_RECEIVED)

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
        states[HALF_OPEN] = states.get(HALF_OPEN, 0) + half_open
    return {"at": now, "listeners": found, "states": states, "totals": stack.listener_counts().as_dict()}


def _listener(listener: Listener, now: int) -> Row:
    return {
        "local": [_names(listener.key)[1], local_port_of(listener.key)],
        "half_open": listener.half_open,
        "half_open_limit": listener.backlog,
        "accept_queue": listener.readable(),
        "accept_limit": listener.accept_limit,
        "counts": listener.counts.as_dict(),
        "entries": [_entry(*each) for each in listener.half_open_entries(now)],
    }


def _entry(key: bytes, age: int, syn_acks: int) -> list[Any]:
    """A list and no object, and written out: there may be a hundred thousand of them."""
    remote, local = _names(key)
    return [remote, key[-4] << 8 | key[-3], age, syn_acks, local, key[-2] << 8 | key[-1]]


def _ends(key: bytes) -> Row:
    remote, local = _names(key)
    return {"local": [local, local_port_of(key)], "remote": [remote, remote_port_of(key)]}


def _names(key: bytes) -> tuple[str, str]:
    """The addresses of a key as a person writes them, remote and local; as stack.addresses.text, but a hundred thousand a
    third of a second."""
    if len(key) == IP4_KEY:
        return inet_ntop(AF_INET, key[:4]), inet_ntop(AF_INET, key[4:8])
    return inet_ntop(AF_INET6, key[:16]), inet_ntop(AF_INET6, key[16:32])


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
        "state": HALF_OPEN, "receive_queue": 0, "send_queue": 0, **_ends(key), "age": age, "syn_acks": syn_acks
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

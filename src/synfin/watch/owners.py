"""Who holds a socket: its inode looked up among the open files of all processes; and what piles up in whose hands.

Owns the look-up and the thresholds of piles. Without root the files of other users' processes cannot be read, nor all
of them by the root of a container without CAP_SYS_PTRACE: their sockets have no owner here, and the answer says so.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from synfin.engine.state import State
from synfin.stack.addresses import text as address_text
from synfin.watch.netlink import NUMBERS, SocketRow
from synfin.words import Text

NOBODY: Final = "-"
PROCESSES: Final = Path("/proc")

# A program closes a connection within a moment of its peer's FIN: dozens at once are ordinary, a hundred that stay are not.
# 100 is a tenth of the usual limit of open files (1,024), at which accept begins to fail.
CLOSE_WAIT_PILE: Final = 100
# A connection to one destination needs a port of its own; TIME-WAIT holds it for 60 s on Linux. From 3/4 of the range on a
# burst may find none free (EADDRNOTAVAIL).
PORTS_SHARE: Final = 0.75

HIDDEN: Final = Text(
    "Without root, or in a container, some processes stay hidden: their sockets show '-' as owner.",
    "没有 root 权限，或在容器中，看不到某些进程：它们的套接字所有者显示为“-”。",
)  # fmt: skip
CLOSE_WAIT: Final = Text(
    "{owner} holds {count} connections in CLOSE-WAIT: the peers have closed, the program has not called close.",
    "{owner} 持有 {count} 个处于 CLOSE-WAIT 的连接：对端已关闭，程序没有调用 close。",
)  # fmt: skip
CLOSE_WAIT_UNKNOWN: Final = Text(
    "{count} connections are in CLOSE-WAIT and their process cannot be seen: the peers have closed, the program has not.",
    "{count} 个连接处于 CLOSE-WAIT，看不到所属进程：对端已关闭，程序没有关闭。",
)  # fmt: skip
TIME_WAIT: Final = Text(
    "{count} of the {ports} local ports ({first} to {last}) wait in TIME-WAIT for connections to {remote}: "
    "new ones may soon find no free port.",
    "到 {remote} 的连接有 {count} 个本地端口处于 TIME-WAIT，可用端口共 {ports} 个（{first} 到 {last}）："
    "新连接可能很快无端口可用。",
)  # fmt: skip


class Owners(NamedTuple):
    """`names` gives program/pid for the inode of a socket; `hidden` says that some processes could not be read."""

    names: Mapping[int, str]
    hidden: bool

    def of(self, inode: int) -> str:
        """program/pid, or "-"."""
        return self.names.get(inode, NOBODY)


@dataclass(frozen=True, slots=True)
class Pile:
    """Many sockets in one state: `text` says what that means, its facts are `facts`."""

    state: State
    owner: str
    count: int
    text: Text
    facts: Mapping[str, object]

    def say(self, lang: str) -> str:
        """The finding in one sentence."""
        return self.text.say(lang, **self.facts)


def owners(processes: Path = PROCESSES) -> Owners:
    """The owner of every socket that this user may see. Of several holders the process with the lowest number is named."""
    names: dict[int, str] = {}
    hidden = False
    for pid in sorted(int(name) for name in os.listdir(processes) if name.isdigit()):
        folder = processes / str(pid)
        try:
            inodes = _sockets(folder / "fd")
        except PermissionError:
            hidden = True
            continue
        except OSError:  # it has ended meanwhile
            continue
        fresh = [inode for inode in inodes if inode not in names]
        if fresh:
            owner = f"{_program(folder)}/{pid}"
            names.update(dict.fromkeys(fresh, owner))
    return Owners(names, hidden)


def _sockets(folder: Path) -> list[int]:
    """The inodes of the sockets that a process has open. Raises OSError."""
    found = []
    with os.scandir(folder) as files:
        for file in files:
            try:
                target = os.readlink(file.path)
            except PermissionError:
                raise
            except OSError:  # closed meanwhile
                continue
            if target.startswith("socket:[") and target[8:-1].isdigit():
                found.append(int(target[8:-1]))
    return found


def _program(folder: Path) -> str:
    try:
        return (folder / "comm").read_text(encoding="utf-8", errors="replace").strip() or "?"
    except OSError:
        return "?"


def piles(rows: Iterable[SocketRow], owned: Owners, ports: tuple[int, int] | None) -> list[Pile]:
    """What piles up among `rows`: CLOSE-WAIT by process, TIME-WAIT by destination near the end of the range `ports`.

    Largest first. `ports` None: the range is not known, TIME-WAIT is not judged.
    """
    close_wait: Counter[str] = Counter()
    time_wait: Counter[tuple[bytes, int]] = Counter()
    first, last = ports or (1, 0)
    for row in rows:
        if row.state == NUMBERS[State.CLOSE_WAIT]:
            close_wait[owned.of(row.inode)] += 1
        elif row.state == NUMBERS[State.TIME_WAIT] and first <= row.local_port <= last:
            time_wait[row.remote, row.remote_port] += 1
    found = []
    for owner, count in close_wait.items():
        if count >= CLOSE_WAIT_PILE:
            text = CLOSE_WAIT_UNKNOWN if owner == NOBODY else CLOSE_WAIT
            found.append(Pile(State.CLOSE_WAIT, owner, count, text, {"owner": owner, "count": count}))
    size = last - first + 1
    for (remote, port), count in time_wait.items():
        if count >= PORTS_SHARE * size:
            facts = {"count": count, "ports": size, "first": first, "last": last, "remote": _end(remote, port)}
            found.append(Pile(State.TIME_WAIT, NOBODY, count, TIME_WAIT, facts))
    return sorted(found, key=lambda pile: (-pile.count, pile.owner, str(pile.facts)))


def _end(address: bytes, port: int) -> str:
    shown = address_text(address)
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"

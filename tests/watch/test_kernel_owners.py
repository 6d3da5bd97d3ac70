"""Whose a socket is, and what piles up in whose hands."""

import os
import socket
from pathlib import Path

import pytest

from synfin.engine.state import State
from synfin.watch.netlink import NUMBERS, SocketRow
from synfin.watch.owners import CLOSE_WAIT_PILE, Owners, owners, piles

HERE, PEER, OTHER = bytes((10, 0, 0, 1)), bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2))


def process(root: Path, pid: int, name: str | None, *files: str) -> None:
    folder = root / str(pid)
    (folder / "fd").mkdir(parents=True)
    if name is not None:
        (folder / "comm").write_text(name + "\n")
    for number, target in enumerate(files):
        (folder / "fd" / str(number)).symlink_to(target)


def test_a_socket_belongs_to_the_first_process_that_has_it_open(tmp_path: Path) -> None:
    process(tmp_path, 20, "worker", "socket:[501]", "socket:[502]")
    process(tmp_path, 3, "nginx", "/dev/null", "socket:[501]", "pipe:[7]", "socket:[x]")
    (tmp_path / "meminfo").write_text("")
    assert owners(tmp_path) == Owners({501: "nginx/3", 502: "worker/20"}, False)


def test_a_process_without_a_name_has_a_question_mark(tmp_path: Path) -> None:
    process(tmp_path, 4, None, "socket:[9]")
    assert owners(tmp_path).of(9) == "?/4"


def test_nobody_owns_what_was_not_found(tmp_path: Path) -> None:
    assert owners(tmp_path).of(77) == "-"


def test_a_process_that_ended_meanwhile_is_stepped_over(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    assert owners(tmp_path) == Owners({}, False)


def test_a_process_that_may_not_be_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 5, "other", "socket:[9]")
    process(tmp_path, 6, "mine", "socket:[10]")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.parent.name == "5":
            raise PermissionError
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert owners(tmp_path) == Owners({10: "mine/6"}, True)


def test_the_sockets_of_this_process_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name, _, pid = owners().of(os.fstat(server.fileno()).st_ino).partition("/")
    assert (name, pid) == (Path("/proc/self/comm").read_text().strip(), str(os.getpid()))


def row(state: State, local_port: int, *, inode: int = 0, remote: bytes = PEER, remote_port: int = 443) -> SocketRow:
    number = NUMBERS[state]
    return SocketRow(False, number, 0, 0, HERE, local_port, remote, remote_port, 0, 0, 0, 0, 0, inode, None, False)


def said(found: list[SocketRow], owned: Owners, ports: tuple[int, int] | None) -> list[str]:
    return [pile.say("en") for pile in piles(found, owned, ports)]


def test_a_pile_of_close_wait_names_the_process_that_does_not_close() -> None:
    owned = Owners({1: "leaky/7", 2: "fine/8"}, False)
    rows = [row(State.CLOSE_WAIT, port, inode=1) for port in range(CLOSE_WAIT_PILE)]
    rows += [row(State.CLOSE_WAIT, port, inode=2) for port in range(CLOSE_WAIT_PILE - 1)]
    (pile,) = piles(rows, owned, (32768, 60999))
    assert (pile.state, pile.owner, pile.count) == (State.CLOSE_WAIT, "leaky/7", 100)
    assert pile.say("en") == (
        "leaky/7 holds 100 connections in CLOSE-WAIT: the peers have closed, the program has not called close."
    )
    assert pile.say("zh") == "leaky/7 持有 100 个处于 CLOSE-WAIT 的连接：对端已关闭，程序没有调用 close。"


def test_a_pile_of_close_wait_whose_process_is_hidden_says_so() -> None:
    rows = [row(State.CLOSE_WAIT, port) for port in range(CLOSE_WAIT_PILE)]
    assert said(rows, Owners({}, True), None) == [
        "100 connections are in CLOSE-WAIT and their process cannot be seen: the peers have closed, the program has not."
    ]


def test_time_wait_near_the_end_of_the_ports_to_one_destination_is_a_pile() -> None:
    rows = [row(State.TIME_WAIT, 1000 + number) for number in range(75)]
    assert said(rows, Owners({}, False), (1000, 1099)) == [
        "75 of the 100 local ports (1000 to 1099) wait in TIME-WAIT for connections to 198.51.100.1:443: "
        "new ones may soon find no free port."
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [row(State.TIME_WAIT, 1000 + number) for number in range(74)],
        [row(State.TIME_WAIT, 1000 + number, remote=PEER if number % 2 else OTHER) for number in range(100)],
        [row(State.TIME_WAIT, 80, remote_port=number) for number in range(500)],
        [row(State.ESTABLISHED, 1000 + number) for number in range(100)],
    ],
    ids=["one too few", "two destinations", "the server's side", "not in TIME-WAIT"],
)
def test_these_are_no_piles(rows: list[SocketRow]) -> None:
    assert said(rows, Owners({}, False), (1000, 1099)) == []


def test_without_a_range_of_ports_time_wait_is_not_judged() -> None:
    assert said([row(State.TIME_WAIT, 1000 + number) for number in range(100)], Owners({}, False), None) == []


def test_the_largest_pile_comes_first() -> None:
    owned = Owners({1: "small/7", 2: "large/8"}, False)
    rows = [row(State.CLOSE_WAIT, port, inode=1) for port in range(100)]
    rows += [row(State.CLOSE_WAIT, port, inode=2) for port in range(200)]
    assert [pile.owner for pile in piles(rows, owned, None)] == ["large/8", "small/7"]

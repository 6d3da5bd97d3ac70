"""Where the control sockets lie, and who may lie there."""

import os
import socket
import threading
from pathlib import Path

import pytest

from synfin.control.client import find, running
from synfin.control.places import Turn, folder, make_folder, place, places
from synfin.engine.errors import UsageError


def test_the_folder_lies_in_the_runtime_directory_or_is_the_user_s_own_among_temporary_files() -> None:
    assert folder({"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/synfin")
    assert folder({}).name == f"synfin-{os.getuid()}"


@pytest.mark.parametrize("runtime", ["", "relative", "./run"])
def test_a_runtime_directory_that_depends_on_where_one_stands_is_none(runtime: str) -> None:
    assert folder({"XDG_RUNTIME_DIR": runtime}) == folder({})  # XDG Base Directory Specification: such a path is ignored


def test_the_folder_is_made_for_its_owner_alone_and_closed_where_it_was_open(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700
    (tmp_path / "b").mkdir(mode=0o777)
    assert make_folder(tmp_path / "b").stat().st_mode & 0o777 == 0o700


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="is not a directory of yours"):
        make_folder(tmp_path / "link")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make"):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 41])
def test_a_name_that_could_be_another_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a name is 1 to 40 letters"):
        place(tmp_path, name, 1)


def test_only_sockets_with_a_name_and_a_number_are_found(tmp_path: Path) -> None:
    (tmp_path / "synfin.12").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(str(tmp_path / "second.20"))
        other.bind(str(tmp_path / "nonumber"))
        assert places(tmp_path) == [("second", 20, tmp_path / "second.20")]


def test_a_socket_that_nobody_answers_on_is_removed(tmp_path: Path) -> None:
    (tmp_path / "synfin").mkdir()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "synfin" / "synfin.20"))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert running(environ) == []
    assert list((tmp_path / "synfin").iterdir()) == []
    with pytest.raises(UsageError, match="no synfin is running; start one with: synfin up"):
        find(environ)


def test_a_path_too_long_for_a_socket_is_told_with_the_remedy(tmp_path: Path) -> None:
    where = tmp_path / ("x" * 100)
    with pytest.raises(UsageError, match=r"x/synfin\.1 is too long for a socket \(107 bytes\): set XDG"):
        place(where, "synfin", 1)


def test_one_at_a_time_has_the_turn_of_a_name_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    order: list[str] = []

    def other() -> None:
        with Turn(tmp_path, "synfin"):
            order.append("second")

    waiting = threading.Thread(target=other)
    with Turn(tmp_path, "synfin") as turn:
        waiting.start()
        with Turn(tmp_path, "other"):
            order.append("another name waits for nobody")
        order.append("first")
        turn.release()
    waiting.join(10)
    assert order == ["another name waits for nobody", "first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_many_who_want_the_turn_have_it_one_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def one() -> None:
        for _ in range(20):
            with Turn(tmp_path, "synfin"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 80


def test_a_file_that_a_killed_process_has_left_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "synfin.lock").write_text("")
    with Turn(tmp_path, "synfin"):
        pass
    assert list(tmp_path.iterdir()) == []

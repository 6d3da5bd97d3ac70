"""What --pcap writes, where it cannot."""

from pathlib import Path

import click
import pytest

from synfin.cli.watching import Watch

FULL = Path("/dev/full")
PACKET = bytes.fromhex("4500001400004000400600000a4d00020a4d0001") + bytes(1000)


def test_a_disk_that_is_full_ends_the_capture_in_one_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(FULL, False, ([], []))
    for _ in range(200):  # more than is written at once
        watch.sent(PACKET, None)
    assert not watch.close() and not watch.close()
    assert capsys.readouterr() == ("", "synfin: /dev/full ends before the packets do: No space left on device\n")


def test_a_disk_that_is_full_at_the_end_is_told_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(FULL, False, ([], []))
    watch.received(PACKET)
    assert not watch.close()
    assert capsys.readouterr() == ("", "synfin: /dev/full ends before the packets do: No space left on device\n")


def test_a_capture_that_could_be_written_is_whole(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "a.pcapng", False, ([], []))
    watch.received(PACKET)
    assert watch.close() and watch.close()
    assert PACKET in (tmp_path / "a.pcapng").read_bytes()


def test_a_capture_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"cannot write .*: Is a directory"):
        Watch(tmp_path, False, ([], []))

"""Segments in a window of less than two, for a device that cuts super-segments itself (TcpConfig.half_window_segments)."""

import pytest

from synfin.engine.segment import ACK
from tests.engine.harness import PLAIN
from tests.rfc.build import ISS, established, hear


@pytest.mark.parametrize(("bound", "lengths"), [(True, [1000, 1000]), (False, [2000])])
def test_two_segments_stand_in_the_window_though_the_device_would_cut_one(bound: bool, lengths: list[int]) -> None:
    one = established(PLAIN.replace(half_window_segments=bound))
    sender = one.connection.sender
    sender.mss, sender.gso_max, sender.max_snd_wnd, sender.snd_wnd = 1200, 65_000, 2000, 2000
    sender.nodelay = True
    one.connection.write(bytes(2000), 0)
    assert [(len(out.payload), out.gso_size) for out in one.out()] == [(count, 0 if bound else 1200) for count in lengths]
    assert (sender.mss, sender.gso_max) == (1200, 65_000)


def test_a_larger_window_takes_whole_super_segments_again() -> None:
    one = established(PLAIN.replace(half_window_segments=True))
    sender = one.connection.sender
    sender.gso_max = 65_000
    hear(one, ACK, ack=ISS + 1)
    one.connection.write(bytes(2920), 0)
    assert [(len(out.payload), out.gso_size) for out in one.out()] == [(2920, 1460)]

"""A connection that is over stays over: whatever still comes starts no timer and sends nothing."""

from collections.abc import Callable

import pytest

from synfin.engine.config import NEVER, TcpConfig
from synfin.engine.segment import ACK, FIN, RST, SYN, URG
from tests.engine.harness import PLAIN, SECOND, End
from tests.rfc.build import IRS, established, hear, reset, time_wait


@pytest.mark.parametrize("build", [reset, time_wait], ids=["closed", "time-wait"])
def test_segments_after_the_end_start_no_timer(build: Callable[[TcpConfig], End]) -> None:
    one = build(PLAIN)
    one.out()
    for flags in (ACK, ACK | FIN, SYN, RST, ACK | URG):
        hear(one, flags, one.connection.receiver.rcv_nxt, one.connection.sender.snd_nxt, payload=b"late")
    assert one.connection.next_deadline() == NEVER
    assert one.out() == []


def test_a_keep_alive_that_was_probing_starts_no_timer_after_the_end() -> None:
    one = established(PLAIN.replace(keepalive=True, keepalive_idle=SECOND))
    one.at(SECOND)
    assert one.connection.keepalive is not None and one.connection.keepalive.probes == 1
    one.connection.abort(one.now)
    one.out()
    hear(one, ACK, IRS + 1)
    assert one.connection.next_deadline() == NEVER

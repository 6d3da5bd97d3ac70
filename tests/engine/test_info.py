"""info(): the RFC's names, and Linux's for the fields of struct tcp_info that exist here."""

import pytest

from synfin.engine.config import TcpConfig
from synfin.engine.info import STATE_NUMBER
from synfin.engine.segment import ACK
from synfin.engine.state import State
from tests.engine.harness import MILLISECOND, SECOND
from tests.rfc.build import FULL, ISS, STATES, established, probing, recovering, say, timed_out


def test_every_state_has_linuxs_number() -> None:
    assert sorted(STATE_NUMBER.values()) == list(range(1, 12))
    assert set(STATE_NUMBER) == set(State)


@pytest.mark.parametrize("build", STATES, ids=lambda build: build.__name__)
def test_every_state_can_be_told(build: object) -> None:
    for config in (TcpConfig(), FULL):
        one = build(config)  # type: ignore[operator]
        info = one.connection.info(SECOND)
        assert info["tcpi_state"] == STATE_NUMBER[one.connection.state]
        assert all(value >= 0 for name, value in info.items() if name.startswith("tcpi_")), info


def test_sizes_are_in_bytes_segments_and_microseconds_as_linux_has_them() -> None:
    one = established(FULL)
    one.connection.write(bytes(40_000), 0)
    one.out()
    info = one.connection.info(250 * MILLISECOND)
    assert {name: info[name] for name in (
        "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_advmss", "tcpi_pmtu", "tcpi_unacked", "tcpi_snd_cwnd", "tcpi_notsent_bytes",
        "tcpi_last_data_sent", "tcpi_options", "tcpi_snd_wscale", "tcpi_rcv_wscale", "tcpi_rto", "tcpi_ca_state",
    )} == {
        "tcpi_snd_mss": 1448, "tcpi_rcv_mss": 1448, "tcpi_advmss": 1448, "tcpi_pmtu": 1500, "tcpi_unacked": 10,
        "tcpi_snd_cwnd": 10, "tcpi_notsent_bytes": 40_000 - 14_480, "tcpi_last_data_sent": 250, "tcpi_options": 5,
        "tcpi_snd_wscale": 2, "tcpi_rcv_wscale": 3, "tcpi_rto": 200_000, "tcpi_ca_state": 0,
    }  # fmt: skip
    assert info["snd_una"] == ISS + 1


def test_congestion_states_and_probes_have_linuxs_numbers() -> None:
    assert recovering().connection.info(0)["tcpi_ca_state"] == 3
    assert timed_out().connection.info(0)["tcpi_ca_state"] == 4
    assert timed_out().connection.info(0)["tcpi_backoff"] == 1
    assert probing().connection.info(0)["tcpi_probes"] == 1
    one = established()
    one.connection.write(bytes(4000), 0)
    one.out()
    say(one, ACK)
    assert one.connection.info(0)["tcpi_ca_state"] == 1


def test_unanswered_keepalive_probes_are_told() -> None:
    one = established(FULL.replace(keepalive=True, keepalive_idle=SECOND))
    one.at(SECOND)
    assert one.connection.info(one.now)["tcpi_probes"] == 1

"""The kernel's counters by their names, whatever columns a kernel has."""

from pathlib import Path

import pytest

from synfin.watch import procfs
from synfin.watch.procfs import Limits
from synfin.watch.sample import NOTHING, Counts

NETSTAT = """\
TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows ListenDrops TCPReqQFullDrop TCPSynRetrans EmbryonicRsts
TcpExt: 1985 40 3 5 12 6 77 9
IpExt: InNoRoutes InOctets
IpExt: 0 123456789012
"""
SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens
Tcp: 1 -1 66 22
"""


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_numbers_are_named_by_group_and_heading() -> None:
    assert procfs.parse(NETSTAT)["TcpExt.SyncookiesSent"] == 1985
    assert procfs.parse(NETSTAT)["IpExt.InOctets"] == 123456789012
    assert procfs.parse(SNMP) == {
        "Ip.Forwarding": 1, "Ip.DefaultTTL": 64, "Tcp.RtoAlgorithm": 1, "Tcp.MaxConn": -1, "Tcp.ActiveOpens": 66,
        "Tcp.PassiveOpens": 22,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n\n", "TcpExt:", "TcpExt: A B", "TcpExt: A B\nIpExt: 1 2", "TcpExt: A\nTcpExt: one"])
def test_another_shape_gives_no_numbers(text: str) -> None:
    assert procfs.parse(text) == {}


def test_a_row_that_is_too_short_gives_what_it_has() -> None:
    assert procfs.parse("TcpExt: A B C\nTcpExt: 1 2\n") == {"TcpExt.A": 1, "TcpExt.B": 2}


def test_the_kernels_counts_are_ours_by_meaning(tmp_path: Path) -> None:
    assert procfs.counts(procfs.read(folder(tmp_path, netstat=NETSTAT, snmp=SNMP))) == Counts(
        syn_ack_repeats=77, completed=22, cookies_sent=1985, cookies_accepted=40, cookies_refused=3, syn_queue_drops=7,
        accept_queue_drops=5, resets=9,
    )  # fmt: skip


def test_what_the_kernel_does_not_have_is_not_known() -> None:
    assert procfs.counts({}) == NOTHING
    assert procfs.counts({"TcpExt.TCPReqQFullDrop": 6}) == Counts(syn_queue_drops=6)


def test_one_file_alone_will_do(tmp_path: Path) -> None:
    assert procfs.counts(procfs.read(folder(tmp_path, snmp=SNMP))) == Counts(completed=22)


def test_no_file_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        procfs.read(tmp_path)


def test_this_kernel_has_all_counts_that_a_verdict_reads() -> None:
    counted = procfs.counts(procfs.read(procfs.network()))
    known = {name for name in Counts.__dataclass_fields__ if getattr(counted, name) is not None}
    assert known == {
        "syn_ack_repeats", "completed", "cookies_sent", "cookies_accepted", "cookies_refused", "syn_queue_drops",
        "accept_queue_drops", "resets",
    }  # fmt: skip


def test_the_network_of_a_process_is_below_its_folder() -> None:
    assert procfs.network(17) == Path("/proc/17/net")


def test_limits_are_those_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "ipv4").mkdir()
    (tmp_path / "core").mkdir()
    folder(
        tmp_path / "ipv4", tcp_max_syn_backlog="512\n", tcp_syncookies="1\n", tcp_synack_retries="5\n",
        ip_local_port_range="32768\t60999\n",
    )  # fmt: skip
    folder(tmp_path / "core", somaxconn="4096\n")
    assert procfs.limits(tmp_path) == Limits(
        max_syn_backlog=512, somaxconn=4096, syncookies=1, synack_retries=5, ports=(32768, 60999)
    )


def test_limits_that_cannot_be_read_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "ipv4").mkdir()
    folder(tmp_path / "ipv4", tcp_max_syn_backlog="many", ip_local_port_range="1 2 3")
    assert procfs.limits(tmp_path) == Limits()

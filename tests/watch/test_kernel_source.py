"""The kernel as a source: real listeners and real half-open entries in a namespace, beside what ss and netstat print."""

import ipaddress
import json
import subprocess
import sys

import pytest

from synfin.watch.kernel import KernelSource, estimated_age, from_rows, from_table
from synfin.watch.netlink import LISTEN, SYN_RECV, Diag, SocketRow
from synfin.watch.owners import Owners
from synfin.watch.sample import NOTHING, Counts, HalfOpenEntry, ListenerSample, Sample
from tests.interop.namespace import KERNEL, Namespace
from tests.watch.kernelside import ANSWER, knock, listening, output, program, wired

SECOND = 1_000_000_000
FOUR = [f"198.51.100.{number}" for number in range(1, 8)]
SIX = [f"2001:db8:{number:x}::1" for number in range(1, 8)]


def ends(address: bytes, port: int) -> str:
    return f"{ipaddress.ip_address(address)} {port}"


def half_open(sample: Sample) -> set[tuple[str, str]]:
    return {
        (ends(entry.local, entry.local_port), ends(entry.remote, entry.remote_port))
        for listener in sample.listeners
        for entry in listener.entries
    }


def printed_end(text: str) -> str:
    """An end as ss or netstat prints it, in the way of `ends`."""
    address, _, port = text.rpartition(":")
    number = ipaddress.ip_address(address.strip("[]"))
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped:
        return f"{number.ipv4_mapped} {port}"
    return f"{number} {port}"


def by_ss(where: Namespace) -> set[tuple[str, str]]:
    lines = output(where, "ss", "-Htan", "state", "syn-recv").splitlines()
    return {(printed_end(words[2]), printed_end(words[3])) for words in map(str.split, lines)}


def by_netstat(where: Namespace) -> set[tuple[str, str]]:
    lines = [line for line in output(where, "netstat", "-natW").splitlines() if "SYN_RECV" in line]
    return {(printed_end(words[3]), printed_end(words[4])) for words in map(str.split, lines)}


def found(sample: Sample) -> dict[str, ListenerSample]:
    return {ends(*listener.name): listener for listener in sample.listeners}


@pytest.mark.needs("netns", "netstat")
def test_half_open_rows_are_those_of_ss_and_netstat() -> None:
    with wired() as where, listening(where, "0.0.0.0,80,16", "::,81,16", f"{KERNEL[1]},82,16") as pid:
        knock(where, FOUR, KERNEL[0], 80)
        knock(where, FOUR[:3], KERNEL[0], 81)
        knock(where, SIX[:4], KERNEL[1], 81)
        knock(where, SIX, KERNEL[1], 82)
        with KernelSource(pid) as source:
            sample = source.sample(SECOND)
        shown = half_open(sample)
        assert len(shown) == 7 + 3 + 4 + 7
        assert shown == by_ss(where)
        assert shown == by_netstat(where)
        assert {name: listener.half_open for name, listener in found(sample).items()} == {
            "0.0.0.0 80": 7, ":: 81": 7, f"{KERNEL[1]} 82": 7,
        }  # fmt: skip
        assert sample.states == {"SYN-RECEIVED": 21, "LISTEN": 3}


@pytest.mark.needs("netns")
def test_a_half_open_entry_has_the_owner_of_its_listener_an_age_and_its_syn_acks() -> None:
    with wired() as where, listening(where, "0.0.0.0,80,16") as pid:
        knock(where, FOUR[:1], KERNEL[0], 80)
        with KernelSource(pid) as source:
            sample = source.sample(SECOND)
            assert not source.hidden
        (listener,) = sample.listeners
        (entry,) = listener.entries
        program_name, _, number = entry.owner.partition("/")
        assert (program_name[:6], int(number)) == ("python", pid)
        assert listener.owner == entry.owner
        assert entry.age is not None
        assert 0 <= entry.age < 60 * SECOND
        assert entry.syn_acks is not None
        assert 1 <= entry.syn_acks <= 6


@pytest.mark.needs("netns")
def test_a_full_queue_is_seen_in_cookies_and_not_in_rows() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 101)]
    with wired() as where, listening(where, "0.0.0.0,80,16") as pid, KernelSource(pid) as source:
        before = source.sample(0).totals
        knock(where, many, KERNEL[0], 80)
        sample = source.sample(SECOND)
    held = sample.listeners[0].half_open
    assert (sample.listeners[0].half_open_limit, sample.listeners[0].accept_limit) == (16, 16)
    assert 16 <= held <= 17
    assert sample.totals.cookies_sent is not None
    assert before.cookies_sent is not None
    assert sample.totals.cookies_sent - before.cookies_sent == 100 - held
    assert (sample.totals.completed, sample.totals.accept_queue_drops) == (0, 0)


@pytest.mark.needs("netns")
def test_syns_that_a_full_queue_drops_are_counted_where_cookies_are_off() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 101)]
    with wired() as where:
        output(where, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_syncookies")
        with listening(where, "0.0.0.0,80,16") as pid, KernelSource(pid) as source:
            knock(where, many, KERNEL[0], 80)
            sample = source.sample(SECOND)
    held = sample.listeners[0].half_open
    assert 16 <= held <= 17
    assert sample.totals.syn_queue_drops == 100 - held
    assert sample.listeners[0].drops == 100 - held
    assert (sample.totals.cookies_sent, sample.totals.accept_queue_drops) == (0, 0)


@pytest.mark.needs("netns")
def test_without_cookies_the_last_quarter_of_the_backlog_is_not_for_strangers() -> None:
    many = [f"192.0.2.{number}" for number in range(1, 101)]
    with wired() as where:
        output(where, "sh", "-c", "cd /proc/sys/net/ipv4; echo 0 > tcp_syncookies; echo 64 > tcp_max_syn_backlog")
        with listening(where, "0.0.0.0,80,128") as pid, KernelSource(pid) as source:
            knock(where, many, KERNEL[0], 80)
            sample = source.sample(SECOND)
            assert (source.limits.syncookies, source.limits.max_syn_backlog) == (0, 64)
    (listener,) = sample.listeners
    assert (listener.half_open_limit, listener.accept_limit) == (48, 128)
    assert 48 <= listener.half_open <= 49
    assert sample.totals.syn_queue_drops == 100 - listener.half_open


SLOW = """
import socket, sys
server = socket.create_server(("127.0.0.1", 80), backlog=2)
clients = [socket.create_connection(("127.0.0.1", 80)) for _ in range(3)]
late = socket.socket()
late.setblocking(False)
late.connect_ex(("127.0.0.1", 80))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.needs("netns")
def test_a_slow_server_shows_a_full_accept_queue_and_no_half_open_entry() -> None:
    with (
        wired() as where,
        program(where.command(sys.executable, "-c", SLOW)) as process,
        KernelSource(process.pid) as source,
    ):
        sample = source.sample(SECOND)
    (listener,) = sample.listeners
    assert (listener.half_open, listener.accept_queue, listener.accept_limit) == (0, 3, 2)
    assert sample.totals.accept_queue_drops is not None
    assert sample.totals.accept_queue_drops >= 1
    assert listener.drops == sample.totals.accept_queue_drops
    assert (sample.totals.syn_queue_drops, sample.totals.cookies_sent, sample.totals.completed) == (0, 0, 3)
    assert sample.states == {"ESTABLISHED": 6, "SYN-SENT": 1, "LISTEN": 1}


AS_USER = """
import json
from synfin.watch.kernel import KernelSource
with KernelSource() as source:
    sample = source.sample(0)
    print(json.dumps([{str(each.port): each.owner.partition("/")[0][:6] for each in sample.listeners}, source.hidden]))
"""


@pytest.mark.needs("netns", "setpriv")
def test_an_ordinary_user_sees_all_but_the_owners_that_are_not_his() -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with wired() as where, listening(where, "127.0.0.1,80,16"), listening(where, "127.0.0.1,8080,16", user=nobody):
        owners, hidden = json.loads(output(where, *nobody, sys.executable, "-c", AS_USER))
        assert (owners, hidden) == ({"80": "-", "8080": "python"}, True)
        owners, hidden = json.loads(output(where, sys.executable, "-c", AS_USER))
        assert (owners, hidden) == ({"80": "python", "8080": "python"}, False)


@pytest.mark.needs("netns", "setpriv")
def test_an_ordinary_user_may_not_look_into_a_namespace_of_root() -> None:
    code = (
        "from synfin.watch.kernel import KernelSource\n"
        "try:\n KernelSource({})\n"
        "except OSError as error:\n print(error.errno, error.filename)"
    )
    with wired() as where, listening(where, "127.0.0.1,80,16") as pid:
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code.format(pid))
        done = subprocess.run(user, check=True, capture_output=True, text=True, timeout=ANSWER)
    assert done.stdout.split() == ["13", f"/proc/{pid}/ns/net"]


@pytest.mark.needs("netns")
def test_this_thread_stays_where_it_is_when_another_namespace_is_looked_into() -> None:
    with Diag() as here, wired() as where, listening(where, "127.0.0.1,80,16") as pid, Diag(pid) as there:
        assert [row.local_port for row in there.dump().rows] == [80]
        with Diag() as again:
            inodes = {row.inode for row in there.dump().rows}
            assert inodes.isdisjoint(row.inode for row in here.dump().rows)
            assert inodes.isdisjoint(row.inode for row in again.dump().rows)


def row(
    state: int, local: bytes, local_port: int, remote: bytes = bytes(4), remote_port: int = 0, *, v6: bool = False,
    inode: int = 0, queue: int = 0, limit: int = 0, drops: int | None = None, retransmissions: int = 0, expires: int = 0,
) -> SocketRow:  # fmt: skip
    timer = 1 if expires else 0
    return SocketRow(
        v6, state, timer, retransmissions, local, local_port, remote, remote_port, 0, expires, queue, limit, 0, inode, drops,
        False,
    )  # fmt: skip


HERE = bytes((10, 0, 0, 1))
PEER = bytes((198, 51, 100, 1))
NOBODY = Owners({}, False)


def sample_of(*rows: SocketRow, owned: Owners = NOBODY) -> Sample:
    return from_rows(rows, 7, totals=NOTHING, owned=owned)


def test_the_most_exact_listener_takes_an_entry() -> None:
    made = sample_of(
        row(LISTEN, bytes(4), 80, limit=5), row(LISTEN, HERE, 80, limit=6), row(SYN_RECV, HERE, 80, PEER, 1000, expires=400)
    )
    assert {each.name: each.half_open for each in made.listeners} == {(bytes(4), 80): 0, (HERE, 80): 1}


def test_an_ipv4_entry_of_an_ipv6_socket_came_to_the_dual_stack_listener() -> None:
    made = sample_of(
        row(LISTEN, bytes(16), 80, bytes(16), v6=True),
        row(LISTEN, bytes(4), 80),
        row(SYN_RECV, HERE, 80, PEER, 1000, v6=True, expires=400),
    )
    assert {each.name: each.half_open for each in made.listeners} == {(bytes(16), 80): 1, (bytes(4), 80): 0}


def test_an_entry_without_a_listener_stands_under_its_own_address() -> None:
    made = sample_of(row(SYN_RECV, HERE, 80, PEER, 1000, expires=400))
    entry = HalfOpenEntry(HERE, 80, PEER, 1000, 600_000_000, 1, "-")
    assert made.listeners == (ListenerSample(address=HERE, port=80, half_open=1, entries=(entry,)),)


def test_listeners_that_share_a_port_are_one_with_the_sum_of_their_queues() -> None:
    owned = Owners({11: "web/5", 12: "web/6", 13: "web/6"}, False)
    made = sample_of(
        *(row(LISTEN, HERE, 80, inode=inode, queue=2, limit=100, drops=3) for inode in (11, 12, 13)),
        row(SYN_RECV, HERE, 80, PEER, 1000, expires=400),
        owned=owned,
    )
    (listener,) = made.listeners
    assert (listener.accept_queue, listener.accept_limit, listener.half_open_limit, listener.drops) == (6, 300, 300, 9)
    assert (listener.owner, listener.half_open) == ("web/5 +1", 1)


def test_both_families_on_one_ipv4_address_are_one_listener() -> None:
    owned = Owners({2: "web/5"}, False)
    made = sample_of(
        row(LISTEN, HERE, 80, inode=1, queue=1, limit=10, drops=1),
        row(LISTEN, HERE, 80, v6=True, inode=2, queue=2, limit=20),
        row(SYN_RECV, HERE, 80, PEER, 1000, v6=True, expires=400),
        owned=owned,
    )
    (listener,) = made.listeners
    assert (listener.accept_queue, listener.accept_limit, listener.drops) == (3, 30, 1)
    assert (listener.owner, listener.half_open) == ("web/5", 1)


def test_states_have_their_names_from_the_rfc_and_a_state_without_one_is_left_out() -> None:
    made = sample_of(*(row(number, HERE, 80, PEER, number) for number in range(1, 14) if number != 12))
    assert made.states == {
        "ESTABLISHED": 1, "SYN-SENT": 1, "SYN-RECEIVED": 1, "FIN-WAIT-1": 1, "FIN-WAIT-2": 1, "TIME-WAIT": 1, "CLOSED": 1,
        "CLOSE-WAIT": 1, "LAST-ACK": 1, "LISTEN": 1, "CLOSING": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("repeats", "expires", "age"),
    [(0, 1000, 0), (0, 400, 600), (1, 2000, 1000), (1, 500, 2500), (5, 32_000, 31_000), (5, 1, 62_999), (7, 120_000, 127_000)],
)
def test_an_age_follows_from_the_repeats_and_the_timer(repeats: int, expires: int, age: int) -> None:
    assert estimated_age(row(SYN_RECV, HERE, 80, PEER, 1, retransmissions=repeats, expires=expires)) == age * 1_000_000


def test_an_age_that_no_timer_tells_is_not_known() -> None:
    assert estimated_age(row(SYN_RECV, HERE, 80, PEER, 1)) is None


def test_an_age_is_never_below_zero() -> None:
    assert estimated_age(row(SYN_RECV, HERE, 80, PEER, 1, expires=1500)) == 0


def test_a_table_has_no_counters_no_limits_and_no_owners() -> None:
    made = from_table([row(LISTEN, HERE, 80, queue=1, limit=10, drops=4), row(SYN_RECV, HERE, 80, PEER, 1, expires=400)], 7)
    assert (made.source, made.totals) == ("table", Counts())
    (listener,) = made.listeners
    assert (listener.half_open, listener.half_open_limit, listener.accept_limit, listener.drops) == (1, None, None, None)
    assert listener.owner == "-"

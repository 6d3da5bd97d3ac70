"""Exchanges with threads over bad networks: partition, reset, a peer that fell silent or does not read; all in virtual time."""

import socket
import threading
import time
from typing import Any

import pytest

from synfin.channels import exchangeblocking, exchangelongblocking
from synfin.channels.errors import ChannelClosed, ChannelError, ChannelTimeout, PeerDead, PeerLost, ProtocolError
from synfin.channels.exchange import HEAD, REQUEST
from synfin.channels.heartbeat import SECOND
from synfin.channels.life import ACK, DATA, GOODBYE, LifeSettings
from synfin.channels.life import HEAD as LIFE_HEAD
from tests.channels.exchange_threads import FRAMING, FRONTS, PORT, QUICK, Front, TidySim, pair, serve

BOUND = QUICK.detection / SECOND  # 16 s
LONG = FRONTS[1]
both = pytest.mark.parametrize("front", FRONTS, ids=repr)
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def same(request: bytes) -> bytes:
    return request


@both
def test_after_a_partition_late_answers_are_dropped_and_the_next_call_gets_its_own(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        served, exchange = pair(ground, front, same)
        with exchange:
            exchange.ask(b"there", 5)
            ground.wire.cut()
            times = []
            for number in range(3):
                began = time.monotonic()
                with pytest.raises(ChannelTimeout, match=r"no answer within 1\.0 s"):
                    exchange.ask(b"%d" % number, 1.0)
                times.append(time.monotonic() - began)
            in_flight = exchange.in_flight
            ground.wire.heal()
            answer = exchange.ask(b"next", 60)
            late, after = exchange.exchange.late, exchange.in_flight
        return times, in_flight, answer, late, after, served.end()

    times, *rest = ground.run_blocking(program)
    assert times == [pytest.approx(1.0, abs=1e-3)] * 3
    assert rest == [3, b"next", 3, 0, None]


@both
def test_a_peer_that_fell_silent_costs_each_call_its_timeout_and_no_more(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        served, exchange = pair(ground, front, same)
        exchange.ask(b"there", 5)
        ground.host.silence()
        began, took = time.monotonic(), []
        for _ in range(3):
            with pytest.raises(ChannelTimeout):
                exchange.ask(b"?", 2.5)
            took.append(time.monotonic() - began)
        began = time.monotonic()
        exchange.abort()
        took.append(time.monotonic() - began)
        if not front.long:
            served.exchange.abort()  # nothing tells it: it has no heartbeat
        return took, type(served.end())

    took, ended = ground.run_blocking(program)
    assert took == [pytest.approx(seconds, abs=0.01) for seconds in (2.5, 5.0, 7.5, 0.0)]
    assert ended is (PeerDead if front.long else type(None))


def test_on_a_long_connection_a_peer_that_vanished_ends_all_who_wait_within_the_heartbeats_bound() -> None:
    ground = TidySim()

    def program() -> Any:
        served, exchange = pair(ground, LONG, same, limit=2)
        exchange.ask(b"there", 5)
        time.sleep(1)
        ground.wire.cut()
        began, told = time.monotonic(), {}

        def ask(number: int) -> None:
            try:
                exchange.ask(b"%d" % number)
            except ChannelError as error:
                told[number] = type(error), time.monotonic() - began

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]  # two on their way, three for room
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(PeerDead):
            exchange.ask(b"again")
        left = exchange.unacknowledged
        exchange.close()
        ended = type(served.end())
        return told, len(left), ended, time.monotonic() - began

    told, left, ended, took = ground.run_blocking(program)
    assert {kind for kind, _ in told.values()} == {PeerDead}
    assert sorted(told) == [0, 1, 2, 3, 4]
    assert all(BOUND - 1.5 < seconds <= BOUND for _, seconds in told.values())
    assert (left, ended) == (2, PeerDead)
    assert took <= BOUND


@both
def test_a_reset_ends_every_call_that_waits(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            exchange = front.connect((ground.address, PORT), limit=1)
        call, told = exchange.submit(b"1", 5), []

        def wait() -> None:
            with pytest.raises(PeerLost) as caught:
                exchange.submit(b"2")
            told.append(caught.value)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(1)
        ground.host.crash()
        ground.host.restart()
        began = time.monotonic()
        if front.long:
            with pytest.raises(PeerLost, match="reset by peer"):
                exchange.ping(5)
        else:
            exchange.messages.send(b"anything: the new server answers with RST")
        with pytest.raises(PeerLost, match="reset by peer"):
            call.result(5)
        waiting.join()
        took = time.monotonic() - began
        exchange.abort()
        listener.close()
        return took, len(told)

    took, told = ground.run_blocking(program)
    assert took == pytest.approx(0.02, abs=0.01)
    assert told == 1


def test_on_a_long_connection_a_server_that_has_started_anew_is_noticed_though_nobody_asks() -> None:
    ground = TidySim()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            exchange = LONG.connect((ground.address, PORT))
        call = exchange.submit(b"1", 5)
        time.sleep(1)
        ground.host.crash()
        ground.host.restart()
        began = time.monotonic()
        with pytest.raises(PeerLost, match="reset by peer"):
            call.result()
        took = time.monotonic() - began
        exchange.abort()
        listener.close()
        return took

    assert ground.run_blocking(program) <= QUICK.interval / SECOND


@both
def test_a_peer_that_reads_nothing_holds_up_the_asker_in_time_and_its_memory_stays_bounded(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            exchange = front.connect((ground.address, PORT))
        accepted, _ = listener.accept()
        began, sent = time.monotonic(), 0
        with pytest.raises(ChannelError) as caught:
            while True:
                exchange.submit(bytes(100_000), 2.0)
                sent += 1
        took = time.monotonic() - began
        with pytest.raises(ChannelError) as after:
            while True:
                exchange.ask(b"", 30.0)
        ended = time.monotonic() - began
        exchange.abort()
        accepted.close()
        listener.close()
        return sent, str(caught.value), took, type(after.value), ended

    sent, said, took, after, ended = ground.run_blocking(program)
    if front.long:  # the queue takes `limit` of them, whatever the socket takes; then the heartbeat finds nobody alive
        assert (sent, said, after) == (64, "64 requests were without an answer for 2.0 s", PeerDead)
        assert took == pytest.approx(2.0, abs=0.1)
        assert ended <= BOUND + 0.1
    else:
        assert sent < 64
        assert (said, after) == ("the request could not be sent within 2.0 s", ChannelClosed)
        assert took == pytest.approx(2.2, abs=0.3)
        assert ended == took


def flood(ground: TidySim, front: Front, count: int, request: bytes, done: threading.Event) -> None:
    """A peer that asks `count` times, reads nothing, and stays until `done`."""
    with ground.client:
        sock = socket.create_connection((ground.address, PORT))
    for number in range(1, count + 1):
        message = HEAD.pack(REQUEST, number) + request
        sock.sendall(FRAMING.encode(LIFE_HEAD.pack(DATA, number) + message if front.long else message))
    done.wait()
    sock.close()


@both
def test_a_peer_that_takes_no_answers_is_given_up_within_the_bound(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        done, ours = threading.Event(), []

        def handler(request: bytes) -> bytes:
            if not ours:
                served.ready.wait()
                ours.append(served.exchange.submit(b"?"))
            return bytes(200_000)

        served = serve(ground, front, handler, limit=50)
        asking = threading.Thread(target=flood, args=(ground, front, 50, b"?", done))
        began = time.monotonic()
        asking.start()
        error = served.end()
        assert isinstance(error, PeerLost)
        took = time.monotonic() - began
        done.set()
        asking.join()
        with pytest.raises(type(error)):
            ours[0].result(0)
        return type(error), error.what, took

    kind, said, took = ground.run_blocking(program)
    if front.long:
        assert kind is PeerDead
        assert took <= BOUND + 0.2
    else:
        assert (kind, said) == (PeerLost, "the peer took no answer within 30.0 s")
        assert took == pytest.approx(exchangeblocking.ANSWER_TIMEOUT, abs=0.5)


@both
def test_a_peer_that_asks_more_than_the_limit_is_refused_and_no_more_is_kept(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        done, gate = threading.Event(), threading.Event()

        def slow(request: bytes) -> bytes:
            gate.wait()
            return request

        served = serve(ground, front, slow, limit=8)
        asking = threading.Thread(target=flood, args=(ground, front, 9, b"?", done))
        asking.start()
        while served.exchange is None or served.exchange._why_over is None:
            time.sleep(0.1)
        kept = served.exchange.exchange.unanswered, len(served.exchange._requests)
        gate.set()
        error = served.end()
        done.set()
        asking.join()
        return kept, type(error), str(error)

    said = "REQUEST 9 while 8 are without an answer (message 8 of the stream, limit 8)"
    assert ground.run_blocking(program) == ((8, 0), ProtocolError, said)


@both
@pytest.mark.parametrize("seed", range(1, 6))
def test_over_loss_and_reordering_every_thread_gets_its_own_answers(front: Front, seed: int) -> None:
    ground = TidySim(seed, loss=0.1, reorder=0.1, duplicate=0.05)

    def program() -> Any:
        found: dict[int, list[bytes]] = {}
        served, exchange = pair(ground, front, lambda request: request[::-1], limit=4)

        def ask(name: int) -> None:
            found[name] = [exchange.ask(b"%d.%d " % (name, number) * 300, 500) for number in range(5)]

        threads = [threading.Thread(target=ask, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if front.long:
            exchange.close(300)
        else:
            exchange.close()
        return found, served.end()

    found, error = ground.run_blocking(program)
    assert found == {name: [(b"%d.%d " % (name, number) * 300)[::-1] for number in range(5)] for name in range(6)}
    assert error is None


def test_closing_a_long_connection_to_a_peer_that_vanished_is_over_in_time_and_tells_what_is_unacknowledged() -> None:
    ground = TidySim()

    def program() -> Any:
        served, exchange = pair(ground, LONG, same)
        exchange.ask(b"there", 5)
        exchange.flush(5)
        ground.wire.cut()
        call = exchange.submit(b"nobody hears this")
        began = time.monotonic()
        exchange.close(3)
        took = time.monotonic() - began
        with pytest.raises(PeerLost) as lost:
            call.result()
        return took, len(lost.value.unacknowledged), type(served.end())

    assert ground.run_blocking(program) == (pytest.approx(3.0), 1, PeerDead)


@pytest.mark.parametrize("after", [0.0, 0.015, 0.03, 0.045, 0.055, 0.06, 0.065, 0.07, 0.1])
def test_closing_while_answers_are_on_their_way_is_an_orderly_end_for_both(after: float) -> None:
    ground = TidySim()

    def program() -> Any:
        def slow(request: bytes) -> bytes:
            time.sleep(0.04 if request == b"0" else 0.002)
            return request

        served, exchange = pair(ground, LONG, slow)
        for number in range(10):
            exchange.submit(b"%d" % number)
        time.sleep(after)
        exchange.close()
        return served.end(), ground.peer.stack.counters.resets_out, ground.host.stack.counters.resets_out

    assert ground.run_blocking(program) == (None, 0, 0)


def test_the_peers_goodbye_ends_our_calls_at_once_and_its_requests_are_not_answered_any_more() -> None:
    ground = TidySim()

    def program() -> Any:
        gate, asked = threading.Event(), []

        def slow(request: bytes) -> bytes:
            asked.append(request)
            gate.wait()
            return request

        served = serve(ground, LONG, slow)
        with ground.client:
            sock, decoder = socket.create_connection((ground.address, PORT)), FRAMING.decoder()
        requests = [LIFE_HEAD.pack(DATA, number) + HEAD.pack(REQUEST, number) + b"?" for number in (1, 2, 3)]
        sock.sendall(b"".join(map(FRAMING.encode, requests)))
        served.ready.wait()
        call = served.exchange.submit(b"from the server")
        sock.sendall(FRAMING.encode(LIFE_HEAD.pack(GOODBYE, 3)))
        with pytest.raises(ChannelClosed, match="the peer has said goodbye"):
            call.result(5)
        gate.set()
        sock.sendall(FRAMING.encode(LIFE_HEAD.pack(ACK, 1)))
        sock.shutdown(socket.SHUT_WR)
        error, found = served.end(), list[bytes]()
        while data := sock.recv(10_000):
            found += [message[LIFE_HEAD.size :] for message in decoder.feed(data) if message[0] == DATA]
        sock.close()
        return asked, found, error

    assert ground.run_blocking(program) == ([b"?"], [HEAD.pack(REQUEST, 1) + b"from the server"], None)


def test_a_peer_that_acknowledges_nothing_is_refused_when_the_queue_is_full() -> None:
    ground, settings = TidySim(), LifeSettings(window=4, queue=9)

    def program() -> Any:
        with ground.server:
            listener = socket.create_server((ground.address, PORT))
        with ground.client:
            sock = socket.create_connection((ground.address, PORT))
        accepted, _ = listener.accept()
        exchange = exchangelongblocking.BlockingLongExchange(accepted, FRAMING, settings, same, limit=4)
        call, sent = exchange.submit(b"?"), 0
        with pytest.raises(ConnectionError):
            while sent < 100:
                message = LIFE_HEAD.pack(DATA, sent + 1) + HEAD.pack(REQUEST, sent + 1)
                sock.sendall(FRAMING.encode(message))
                sent += 1
                time.sleep(0.1)
        with pytest.raises(ProtocolError) as caught:
            exchange.wait_ended()
        with pytest.raises(ProtocolError):
            call.result(0)
        kept = len(exchange.unacknowledged)
        exchange.abort()
        sock.close()
        listener.close()
        return sent, kept, str(caught.value)

    assert ground.run_blocking(program) == (9, 9, "9 messages are not acknowledged (message 9 of the stream, limit 9)")

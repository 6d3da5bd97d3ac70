"""Questions and answers with threads, on a connection of their own and on a long one, on every ground."""

import socket
import threading
import time
from typing import Any

import pytest

from synfin.channels import exchangeblocking, exchangelongblocking
from synfin.channels.errors import ChannelClosed, ChannelTimeout, MessageRefused, MessageTooLong, PeerLost, ProtocolError
from synfin.channels.exchange import ANSWER, FAILED, HEAD, REQUEST, RequestFailed
from synfin.channels.framing import Delimiter, LengthHeader
from synfin.channels.life import DATA, LifeSettings
from synfin.channels.life import HEAD as LIFE_HEAD
from synfin.engine.errors import UsageError
from tests.channels.exchange_threads import FRAMING, FRONTS, PATIENCE, PORT, QUICK, Front, TidySim, pair
from tests.channels.grounds import Ground

both = pytest.mark.parametrize("front", FRONTS, ids=repr)
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def double(request: bytes) -> bytes:
    return request * 2


@both
def test_threads_ask_over_one_connection_and_each_gets_its_own_answer(ground: Ground, front: Front) -> None:
    def program() -> Any:
        found: dict[int, list[bytes]] = {}
        served, exchange = pair(ground, front, lambda request: b"to " + request)
        with exchange:

            def ask(name: int) -> None:
                found[name] = [exchange.ask(b"%d %d" % (name, number), PATIENCE) for number in range(10)]

            threads = [threading.Thread(target=ask, args=(name,)) for name in range(5)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            calls = [exchange.submit(b"%d" % number) for number in range(20)]
            piped = [call.result(PATIENCE) for call in reversed(calls)]
            left = exchange.in_flight
        return found, piped, left, served.end()

    found, piped, left, error = ground.run_blocking(program)
    assert found == {name: [b"to %d %d" % (name, number) for number in range(10)] for name in range(5)}
    assert piped == [b"to %d" % number for number in reversed(range(20))]
    assert (left, error) == (0, None)


@both
def test_a_late_answer_is_never_the_next_calls_and_the_timeout_is_told(ground: Ground, front: Front) -> None:
    def program() -> Any:
        gate = threading.Event()

        def handler(request: bytes) -> bytes:
            if request == b"first":
                gate.wait()
            return b"to " + request

        served, exchange = pair(ground, front, handler)
        with exchange:
            call = exchange.submit(b"first", PATIENCE)
            for _ in range(2):  # a call that is given up stays so
                with pytest.raises(ChannelTimeout, match=r"no answer within 0\.2 s"):
                    call.result(0.2)
            in_flight = exchange.in_flight
            gate.set()
            second = exchange.ask(b"second", PATIENCE)
            late, after = exchange.exchange.late, exchange.in_flight
            with pytest.raises(ChannelTimeout):
                call.result(0.2)
        return second, in_flight, late, after, served.end()

    assert ground.run_blocking(program) == (b"to second", 1, 1, 0, None)


@both
def test_both_sides_ask_and_a_handler_may_ask_back(ground: Ground, front: Front) -> None:
    def program() -> Any:
        def forward(request: bytes) -> bytes:
            served.ready.wait()
            return b"server heard " + bytes(served.exchange.ask(b"what about " + request, PATIENCE))

        served, exchange = pair(ground, front, forward, lambda request: request + b"!")
        with exchange:
            answer = exchange.ask(b"1+1", PATIENCE)
        return answer, served.end()

    assert ground.run_blocking(program) == (b"server heard what about 1+1!", None)


@both
def test_a_handler_that_takes_its_time_holds_up_no_other_answer(ground: Ground, front: Front) -> None:
    def program() -> Any:
        gate = threading.Event()

        def slow(request: bytes) -> bytes:
            gate.wait()
            return request

        served, exchange = pair(ground, front, slow, double)
        with exchange:
            call = exchange.submit(b"slow", PATIENCE)
            served.ready.wait()
            answers = [served.exchange.ask(b"%d" % number, PATIENCE) for number in range(5)]
            pings = [exchange.ping(PATIENCE) >= 0, served.exchange.ping(PATIENCE) >= 0] if front.long else [True, True]
            gate.set()
            answers.append(call.result(PATIENCE))
        return answers, pings, served.end()

    assert ground.run_blocking(program) == ([b"00", b"11", b"22", b"33", b"44", b"slow"], [True, True], None)


@both
def test_two_sides_that_ask_each_other_for_more_than_the_sockets_hold_are_both_answered(ground: Ground, front: Front) -> None:
    count, size = 20, 200_000 if ground.name == "kernel" else 30_000

    def large(request: bytes) -> bytes:
        return request * size

    def program() -> Any:
        found: dict[str, list[bytes]] = {}

        def ask(name: str, exchange: Any) -> None:
            calls = [exchange.submit(b"%d" % (number % 10), PATIENCE) for number in range(count)]
            found[name] = [call.result(PATIENCE) for call in calls]

        served, exchange = pair(ground, front, large, large)
        with exchange:
            served.ready.wait()
            threads = [threading.Thread(target=ask, args=each) for each in (("here", exchange), ("there", served.exchange))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return found, served.end()

    found, error = ground.run_blocking(program)
    answers = [b"%d" % (number % 10) * size for number in range(count)]
    assert found == {"here": answers, "there": answers}
    assert error is None


@both
def test_a_handler_says_why_there_is_no_answer_and_keeps_its_own_errors_to_itself(ground: Ground, front: Front) -> None:
    framing = LengthHeader(4, limit=1000)

    def handler(request: bytes) -> bytes:
        if request == b"refuse":
            raise RequestFailed("not today")
        if request == b"long story":
            raise RequestFailed("x" * 5000)
        if request == b"huge":
            return bytes(2000)
        raise LookupError("secret")

    def program() -> Any:
        served, exchange = pair(ground, front, handler, framing=framing)
        said, kept = [], []
        with exchange:
            for request in (b"refuse", b"long story", b"break", b"huge"):
                with pytest.raises(RequestFailed) as caught:
                    exchange.ask(request, PATIENCE)
                said.append(str(caught.value))
                kept.append(type(served.exchange.error))
            with pytest.raises(RequestFailed, match="this side answers no requests"):
                served.exchange.ask(b"?", PATIENCE)
            most = 1000 - HEAD.size - (LIFE_HEAD.size if front.long else 0)
            with pytest.raises(MessageRefused, match=f"a message of {most + 1} bytes is longer than {most}"):
                exchange.ask(bytes(most + 1))
            with pytest.raises(RequestFailed):
                exchange.ask(bytes(most), PATIENCE)
        return said, kept, served.end()

    failed = "the request could not be answered"
    said, kept, error = ground.run_blocking(program)
    assert said == ["not today", "x" * 247, failed, failed]
    assert kept == [type(None), type(None), LookupError, MessageRefused]
    assert error is None


@both
def test_closing_ends_the_calls_that_wait_and_nothing_can_be_asked_any_more(ground: Ground, front: Front) -> None:
    def program() -> Any:
        gate, told = threading.Event(), []

        def handler(request: bytes) -> bytes:
            gate.wait()
            return request

        served, exchange = pair(ground, front, handler)
        call = exchange.submit(b"?", PATIENCE)

        def wait() -> None:
            with pytest.raises(ChannelClosed) as caught:
                call.result(PATIENCE)
            told.append(str(caught.value))

        waiting = threading.Thread(target=wait)
        waiting.start()
        exchange.close()
        assert not exchange._thread.is_alive()
        waiting.join()
        with pytest.raises(ChannelClosed) as caught:
            exchange.ask(b"?", PATIENCE)
        told.append(str(caught.value))
        gate.set()
        return told, served.end()

    told, error = ground.run_blocking(program)
    assert told == ["this side has said goodbye" if front.long else "this side has closed"] * 2
    assert error is None


@both
def test_the_peers_orderly_end_ends_the_calls_that_wait(ground: Ground, front: Front) -> None:
    def program() -> Any:
        gate = threading.Event()

        def slow(request: bytes) -> bytes:
            gate.wait()
            return request

        served, exchange = pair(ground, front, slow)
        call = exchange.submit(b"?", PATIENCE)
        served.ready.wait()
        while not served.exchange.exchange.unanswered:
            time.sleep(0.01)
        closing = threading.Thread(target=served.exchange.close)  # it waits for the handler
        closing.start()
        with pytest.raises(ChannelClosed) as caught:
            call.result(PATIENCE)
        gate.set()
        exchange.wait_ended()
        exchange.close()
        closing.join()
        return str(caught.value), served.end()

    said = "the peer has said goodbye" if front.long else "the peer has finished"
    assert ground.run_blocking(program) == (said, None)


def test_who_has_finished_still_gets_the_answers_to_what_it_asked(ground: Ground) -> None:
    def program() -> Any:
        gate = threading.Event()

        def slow(request: bytes) -> bytes:
            gate.wait()
            return request

        served, exchange = pair(ground, FRONTS[0], slow)
        call = exchange.submit(b"?", PATIENCE)
        exchange.messages.finish()
        while served.exchange is None or served.exchange._why_over is None:
            time.sleep(0.01)
        gate.set()
        answer = call.result(PATIENCE)
        exchange.wait_ended()
        exchange.close()
        return answer, served.end()

    assert ground.run_blocking(program) == (b"?", None)


@both
def test_an_abort_ends_the_calls_here_and_is_the_loss_of_the_peer_there(ground: Ground, front: Front) -> None:
    def program() -> Any:
        gate = threading.Event()

        def handler(request: bytes) -> bytes:
            gate.wait()
            return request

        served, exchange = pair(ground, front, handler)
        call = exchange.submit(b"?", PATIENCE)
        served.ready.wait()
        while not served.exchange.exchange.unanswered:
            time.sleep(0.01)
        if front.long:
            exchange.flush(PATIENCE)
        exchange.abort()
        assert not exchange._thread.is_alive()
        exchange.abort()
        with pytest.raises(ChannelClosed) as caught:
            call.result(PATIENCE)
        while served.exchange._why_over is None:
            time.sleep(0.01)
        gate.set()
        return str(caught.value), type(served.end())

    said = "this side has given up" if front.long else "this side has closed"
    assert ground.run_blocking(program) == (said, PeerLost)


@both
@pytest.mark.parametrize(
    ("says", "error", "what"),
    [
        (HEAD.pack(ANSWER, 5), ProtocolError, "ANSWER 5 to a request that was never made (message 0 of the stream, limit 2)"),
        (HEAD.pack(FAILED, 0), ProtocolError,
         "FAILED 0 to a request that is answered already (message 0 of the stream, limit 2)"),
        (HEAD.pack(REQUEST, 2), ProtocolError, "REQUEST 2 where 1 was due (message 0 of the stream)"),
        (HEAD.pack(9, 5), ProtocolError, "there is no kind 9 (message 0 of the stream)"),
        (b"hi", ProtocolError, "a message of 2 bytes has no kind and number (message 0 of the stream, limit 9)"),
        (b"", MessageTooLong, "a message of 4294967295 bytes is announced (at offset 0 of the stream, limit 1048576 bytes)"),
    ],
    ids=["never made", "answered", "wrong order", "no kind", "short", "huge"],
)  # fmt: skip
def test_garbage_ends_the_exchange_and_tells_all_who_wait(
    ground: Ground, front: Front, says: bytes, error: type[Exception], what: str
) -> None:
    def program() -> Any:
        asked = threading.Event()
        message = LIFE_HEAD.pack(DATA, 1) + says if front.long else says

        def speak() -> None:
            accepted, _ = listener.accept()
            with accepted:
                asked.wait()
                accepted.sendall(FRAMING.encode(message) if says else b"\xff" * 9)
                accepted.settimeout(PATIENCE)
                try:
                    while accepted.recv(1000):
                        pass
                except ConnectionError:
                    pass

        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
            speaking = threading.Thread(target=speak)
            speaking.start()
        with ground.client:
            exchange = front.connect(listener.getsockname())
        calls = [exchange.submit(b"first", PATIENCE), exchange.submit(b"second", PATIENCE)]
        asked.set()
        told = []
        for again in (calls[0].result, calls[1].result, lambda _: exchange.ask(b"?"), lambda _: exchange.wait_ended()):
            with pytest.raises(error) as caught:
                again(PATIENCE)
            told.append(str(caught.value))
        speaking.join(PATIENCE)  # the peer is told at once, by RST
        assert not speaking.is_alive()
        exchange.abort()
        listener.close()
        return told

    assert ground.run_blocking(program) == [what] * 4


def test_a_request_of_which_nothing_could_be_sent_in_time_ends_the_connection_too(ground: Ground) -> None:
    def program() -> Any:
        served, exchange = pair(ground, FRONTS[0], double)
        said = r"the request could not be sent within 0\.1 s"
        with exchange.messages._sending, pytest.raises(ChannelTimeout, match=said):  # as an answer holds it that is not taken
            exchange.submit(b"?", 0.1)
        with pytest.raises(ChannelClosed):
            exchange.ask(b"?", PATIENCE)
        exchange.close()
        return type(served.end())

    assert ground.run_blocking(program) is PeerLost


@both
@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_handler_may_end_the_exchange_itself(ground: Ground, front: Front, how: str) -> None:
    def program() -> Any:
        def leave(request: bytes) -> bytes:
            served.ready.wait()
            getattr(served.exchange, how)()
            return request

        served, exchange = pair(ground, front, leave)
        with pytest.raises((ChannelClosed, PeerLost)):
            exchange.ask(b"leave", PATIENCE)
        served.end()
        exchange.abort()

    ground.run_blocking(program)


@pytest.mark.parametrize("front", FRONTS, ids=repr)
def test_a_framing_that_cannot_carry_an_exchange_leaves_the_socket_as_it_was(front: Front) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = threading.active_count()
        for wrong in (Delimiter(), LengthHeader(4, limit=HEAD.size - 1)):
            with pytest.raises(UsageError, match="a framing with a length header and a limit of 9 bytes or more"):
                front.over(ours, framing=wrong)
        assert (ours.getblocking(), threading.active_count()) == (True, before)


def test_what_cannot_be_an_exchange_is_refused(ground: Ground) -> None:
    def program() -> None:
        with ground.server:
            listener = socket.create_server((ground.address, PORT if ground.virtual else 0))
        for wrong, why in (
            (lambda: exchangeblocking.connect(listener.getsockname(), Delimiter()), "a framing with a length header"),
            (lambda: exchangelongblocking.connect(listener.getsockname(), Delimiter()), "a framing with a length header"),
            (lambda: exchangelongblocking.connect(listener.getsockname(), LengthHeader(4, limit=17)),
             "the framing's limit must leave room for 18 bytes"),
            (lambda: exchangelongblocking.connect(listener.getsockname(), FRAMING, LifeSettings(queue=143)),
             "a queue of 143 does not hold 64 requests, as many answers and a quarter of the window"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=why), ground.client:
                wrong()
        with ground.client:
            exchange = exchangelongblocking.connect(listener.getsockname(), FRAMING, QUICK)
        for call in (lambda: exchange.send(b"?"), exchange.receive):
            with pytest.raises(UsageError, match="an exchange"):
                call()
        exchange.abort()
        listener.close()

    ground.run_blocking(program)


# In virtual time


@both
def test_who_waits_for_room_is_let_in_in_turn_and_may_give_up_in_virtual_time(front: Front) -> None:
    ground = TidySim()

    def program() -> Any:
        gate, order, times = threading.Event(), [], {}

        def handler(request: bytes) -> bytes:
            order.append(request)
            gate.wait()
            return request

        def ask(name: bytes, timeout: float) -> None:
            try:
                exchange.ask(name, timeout)
            except ChannelTimeout as error:
                times[name] = (round(time.monotonic() - began, 3), str(error))

        served, exchange = pair(ground, front, handler, limit=1)
        with exchange:
            first = exchange.submit(b"0")
            began = time.monotonic()
            threads = []
            for name, timeout in ((b"1", 3.0), (b"2", 2.0), (b"3", 60.0), (b"4", 60.0)):
                threads.append(threading.Thread(target=ask, args=(name, timeout)))
                threads[-1].start()
                time.sleep(0.1)
            time.sleep(5)
            gate.set()
            for thread in threads:
                thread.join()
            first.result(5)
        return times, order, served.end()

    times, order, error = ground.run_blocking(program)
    assert times == {
        b"1": (3.0, "1 requests were without an answer for 3.0 s"),
        b"2": (2.1, "another thread was sending for 2.0 s"),
    }
    assert (order, error) == ([b"0", b"3", b"4"], None)

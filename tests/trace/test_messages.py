"""Which call and which segment a message of the programs' own protocol is named on."""

from synfin.trace.events import Called, Carried, SegmentSent, event_to_json
from synfin.trace.ladder import build_ladder
from synfin.trace.messages import name_messages
from synfin.trace.narrate import narrate_all
from synfin.words import Text
from tests.trace.hand import Hand, X, Y, data, handshake


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def naming(message: bytes) -> Carried:
    said = message.decode()
    return Carried(said.upper(), Text(f"it says {said}", f"它说 {said}"))


def spoken(calls: list[bytes], segments: list[tuple[int, bytes]]) -> Hand:
    """The client calls send for each of `calls`; its segments are (place in the stream, bytes)."""
    hand = Hand()
    handshake(hand)
    for sent in calls:
        hand.call(100, "client", "send", repr(sent), str(len(sent)))
    for place, sent in segments:
        hand.send(100, "client", data(X + 1 + place, Y + 1, sent))
    name_messages(hand.trace, naming)
    return hand


def names(hand: Hand) -> tuple[list[list[str]], list[list[str]]]:
    """What is named on the calls, and on the segments with data."""
    calls = [event for event in hand.trace if isinstance(event, Called) and event.call == "send"]
    segments = [event for event in hand.trace if isinstance(event, SegmentSent) and event.length]
    return tuple([[carried.name for carried in event.carries] for event in events] for events in (calls, segments))  # type: ignore[return-value]


def test_a_message_is_named_where_it_begins_on_its_call_and_on_its_segment() -> None:
    stream = framed(b"a", b"bb", b"c")
    found = names(spoken([framed(b"a", b"bb"), framed(b"c")], [(0, stream[:7]), (7, stream[7:])]))
    assert found == ([["A", "BB"], ["C"]], [["A", "BB"], ["C"]])


def test_a_message_that_is_cut_apart_is_named_on_its_first_piece_alone() -> None:
    stream = framed(b"long", b"z")
    found = names(spoken([stream], [(0, stream[:3]), (3, stream[3:9]), (9, stream[9:])]))
    assert found == ([["LONG", "Z"]], [["LONG"], ["Z"], []])


def test_a_segment_that_is_sent_again_carries_the_same_message_and_names_nothing_twice() -> None:
    stream = framed(b"a", b"b", b"c")
    found = names(spoken([stream], [(0, stream[:5]), (5, stream[5:10]), (0, stream[:5]), (10, stream[10:])]))
    assert found == ([["A", "B", "C"]], [["A"], ["B"], ["A"], ["C"]])


def test_a_message_whose_end_was_never_sent_has_no_name() -> None:
    stream = framed(b"a", b"unfinished")
    assert names(spoken([stream], [(0, stream[:12])])) == ([["A"]], [["A"]])


def test_sentences_ladder_and_json_name_the_messages_in_place_of_their_bytes() -> None:
    stream = framed(b"a", b"b")
    hand = spoken([stream], [(0, stream)])
    told = [sentence for sentence in narrate_all(hand.trace.events) if sentence is not None][-2:]
    assert told[0].say("en") == "client's application calls send(A, B), which returns 10: it says a; it says b."
    assert told[0].say("zh") == "client 的应用程序调用 send(A, B)，立即返回 10：它说 a；它说 b。"
    assert told[1].say("en").startswith("client sends PSH,ACK, seq 1, ack 1, 10 bytes (A, B): new data")
    assert told[1].say("zh").startswith("client 发出 PSH,ACK，序号 1，确认号 1，数据 10 字节（A、B）：新数据")
    ladder = build_ladder(hand.trace)
    assert ladder.rows[-2].marks[0].text.en == "send(A, B) = 10"
    assert ladder.arrows[-1].options == ("A + B",)
    assert [event_to_json(event).get("messages") for event in hand.trace.events[-2:]] == [["A", "B"], ["A", "B"]]
    assert "messages" not in event_to_json(hand.trace.events[0])


def test_braces_in_messages_and_in_what_is_sent_are_said_as_they_are() -> None:
    stream = framed(b"{a}", b"}b")
    hand = spoken([stream], [(0, stream)])
    hand.call(200, "client", "send", "b'{\\x01}%}'... 70000 bytes", "70000")
    told = [sentence for sentence in narrate_all(hand.trace.events) if sentence is not None][-3:]
    assert [sentence.say("en") for sentence in told] == [
        "client's application calls send({A}, }B), which returns 13: it says {a}; it says }b.",
        "client sends PSH,ACK, seq 1, ack 1, 13 bytes ({A}, }B): new data; the ACK of all of it will be 14.",
        "client's application calls send(b'{\\x01}%}'... 70000 bytes), which returns 70000.",
    ]
    assert told[2].say("zh") == "client 的应用程序调用 send(b'{\\x01}%}'... 共 70000 字节)，立即返回 70000。"
    marks = [mark.text.say("zh") for row in build_ladder(hand.trace).rows for mark in row.marks]
    assert marks[-2:] == ["send({A}, }B) = 13", "send(..) = 70000"]

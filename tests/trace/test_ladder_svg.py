"""The picture: one self-contained file, everything inside its frame, nothing on top of each other."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from synfin.engine import segment as why
from synfin.engine.errors import DropReason
from synfin.trace import svg
from synfin.trace.events import Carried
from synfin.trace.ladder import build_ladder
from synfin.trace.ladder_layout import GAP, lay_out
from synfin.trace.ladder_svg import ladder_svg
from synfin.words import Text
from tests.trace.hand import MS, Hand, X, Y, data, four_way_close, handshake, request, syn

NAMESPACE = "{http://www.w3.org/2000/svg}"


def whole() -> Hand:
    hand = Hand()
    handshake(hand)
    request(hand)
    four_way_close(hand)
    return hand


def trouble() -> Hand:
    """Something of everything that can go wrong."""
    hand = Hand()
    handshake(hand)
    hand.lose(45, hand.send(40, "client", data(X + 1, Y + 1, b"x" * 1000)), "burst")
    hand.watch["client"].timer_fired(240 * MS, hand.key("client"), "retransmission", str(400 * MS))
    slow = hand.send(240, "client", data(X + 1, Y + 1, b"x" * 1000, why.RETRANSMIT_TIMEOUT))
    back = hand.send(245, "server", data(Y + 1, X + 1, b"y"))
    hand.arrive(250, "server", slow)
    hand.watch["server"].dropped(250 * MS, hand.key("server"), DropReason.DUPLICATE, None)
    hand.arrive(255, "client", back)
    hand.trace.fault(300 * MS, "link cut", "client-server")
    hand.trace.fault(400 * MS, "host crashed", "server")
    hand.send(500, "client", data(X + 1001, Y + 2, b"<&>"))
    hand.call(500, "client", "send", "b'<&>'", "3")
    return hand


def parsed(hand: Hand, lang: str = "en", *, absolute: bool = False, title: str = "") -> ET.Element:
    return ET.fromstring(ladder_svg(build_ladder(hand.trace, absolute=absolute), lang=lang, title=title))


def texts(root: ET.Element) -> list[str]:
    return ["".join(node.itertext()).replace("\u00a0", " ") for node in root.iter(f"{NAMESPACE}text")]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("make", [whole, trouble])
def test_it_refers_to_nothing_outside(make: object, lang: str) -> None:
    assert callable(make)
    picture = ladder_svg(build_ladder(make().trace), lang=lang)
    assert re.findall(r"(?:href|src)=|<script|<style|@import|@font-face|url\(", picture) == []
    assert [link for link in re.findall(r"https?://[^\"]+", picture) if link != "http://www.w3.org/2000/svg"] == []


def test_it_can_be_read_aloud() -> None:
    root = parsed(whole(), title="A life")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title desc"
    title, desc = root.find(f"{NAMESPACE}title"), root.find(f"{NAMESPACE}desc")
    assert title is not None
    assert title.text == "A life"
    assert desc is not None
    assert desc.text == "client and server with their states and the segments between them, time running down"


def test_every_arrow_is_labelled_with_flags_numbers_window_and_length() -> None:
    said = texts(parsed(whole()))
    for label in ("SYN  seq=0", "SYN,ACK  seq=0  ack=1", "PSH,ACK  seq=1  ack=1", "FIN,ACK  seq=6  ack=1"):
        assert label in said
    assert "win=65535 len=0 mss=1460 ws=2" in said
    assert "win=65536 len=5" in said


def test_absolute_numbers_are_drawn_when_asked_for() -> None:
    assert f"SYN,ACK  seq={Y}  ack={X + 1}" in texts(parsed(whole(), absolute=True))


def test_every_state_call_and_time_is_written_beside_its_lifeline() -> None:
    said = texts(parsed(whole()))
    for text in ("SYN-RECEIVED", "FIN-WAIT-1", "TIME-WAIT", "2MSL 120 s", "connect = ok (20 ms)", "120.16 s", "30 ms"):
        assert text in said


def test_losses_retransmissions_drops_and_faults_are_marked() -> None:
    said = " / ".join(texts(parsed(trouble())))
    for text in ("lost: burst of losses", "sent again", "not taken: duplicate", "link client-server cut", "server crashes"):
        assert text in said


def test_what_is_special_to_xml_stands_as_it_is() -> None:
    assert "send(b'<&>') = 3" in texts(parsed(trouble()))


def test_all_sentences_stand_below_in_the_language_asked_for() -> None:
    ladder = build_ladder(whole().trace)
    for lang in ("en", "zh"):
        said = "".join(texts(parsed(whole(), lang))).replace(" ", "")
        for step in ladder.steps:
            assert step.say(lang).replace(" ", "") in said


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("make", [whole, trouble])
@pytest.mark.parametrize("absolute", [False, True])
def test_every_text_lies_inside_the_frame(make: object, lang: str, absolute: bool) -> None:
    assert callable(make)
    title = "A life that is told at some length, so that its title is broken in two" * 2
    root = parsed(make(), lang, absolute=absolute, title=title)
    wide, high = float(root.get("width", 0)), float(root.get("height", 0))
    for node in root.iter(f"{NAMESPACE}text"):
        x, y, size = (float(node.get(name, 0)) for name in ("x", "y", "font-size"))
        mono = "monospace" in node.get("font-family", "")
        room = svg.text_width("".join(node.itertext()), size, mono=mono)
        start = {"middle": x - room / 2, "end": x - room}.get(node.get("text-anchor", ""), x)
        assert start >= 0, "".join(node.itertext())
        assert start + room <= wide, "".join(node.itertext())
        assert size <= y <= high


@pytest.mark.parametrize("make", [whole, trouble])
def test_what_stands_beside_a_lifeline_does_not_lie_on_top_of_each_other(make: object) -> None:
    assert callable(make)
    root = parsed(make())
    for anchor in ("end", "start"):
        lines = sorted(
            float(node.get("y", 0))
            for node in root.iter(f"{NAMESPACE}text")
            if node.get("text-anchor") == anchor and float(node.get("x", 0)) in (270.0, 730.0)
        )
        gaps = [below - above for above, below in itertools.pairwise(lines)]
        assert min(gaps) >= 11


def test_time_runs_down_and_a_long_wait_is_no_longer_than_a_gap() -> None:
    ladder = build_ladder(whole().trace)
    layout = lay_out(ladder, lambda mark: 1)
    places = sorted(layout.places, key=lambda place: place.time)
    for above, below in itertools.pairwise(places):
        if above.time < below.time:
            assert above.y <= below.y
            assert below.y - above.y <= GAP + 60
    assert [passed for _, _, passed in layout.gaps] == [60 * MS, 119_990 * MS]


def test_an_arrow_always_falls() -> None:
    for hand in (whole(), trouble()):
        assert all(shaft.end > shaft.start for shaft in lay_out(build_ladder(hand.trace), lambda mark: 1).shafts)


def test_arrows_that_cut_each_other_are_noted() -> None:
    hand = Hand()
    one, two = hand.send(0, "client", syn()), hand.send(0, "server", syn(Y))
    hand.arrive(10, "client", two)
    hand.arrive(10, "server", one)
    assert [shaft.crossed for shaft in lay_out(build_ladder(hand.trace), lambda mark: 1).shafts] == [True, True]


def crossing(first: int, names: tuple[str, ...]) -> list[tuple[float, float, float]]:
    """Two segments with data cross, with numbers of `first` and more: of each line of their words the left end, the right
    end and the distance down from its place on the shaft."""
    hand = Hand()
    handshake(hand)
    packets = [
        hand.send(100, "client", data(X + first, Y + first, b"x" * 13)),
        hand.send(100, "server", data(Y + first, X + first, b"y")),
    ]
    for packet, host in zip(packets, ("server", "client"), strict=True):
        hand.arrive(110, host, packet)
        hand.trace.packets()[packet].carries = tuple(Carried(name, Text(name, name)) for name in names)
    lines = []
    for node in parsed(hand).iter(f"{NAMESPACE}text"):
        said = "".join(node.itertext())
        if not node.get("transform") or node.get("text-anchor") == "middle":
            continue
        wide = svg.text_width(said, float(node.attrib["font-size"]), mono=True)
        begins = float(node.attrib["x"]) - (wide if node.get("text-anchor") == "end" else 0)
        lines.append((begins, begins + wide, float(node.attrib["y"])))
    return lines


@pytest.mark.parametrize("names", [(), ("ASK 2",), ("DATA 3", "GIVE 4"), ("REQUEST 1", "REQUEST 2")])
@pytest.mark.parametrize("first", [1, 31, 3141, 31415, 314159])
def test_the_words_of_arrows_that_cross_keep_to_their_own_half(first: int, names: tuple[str, ...]) -> None:
    lines = crossing(first, names)
    sides = [[line for line in lines if line[0] < 500], [line for line in lines if line[0] >= 500]]
    assert [len(side) >= 2 for side in sides] == [True, True]
    assert [line for line in sides[0] if line[1] > 500] == []
    for side in sides:
        heights = sorted(line[2] for line in side)
        assert all(below - above > 11 for above, below in itertools.pairwise(heights))


def test_the_2msl_bracket_ends_with_time_wait() -> None:
    layout = lay_out(build_ladder(whole().trace), lambda mark: 1)
    assert len(layout.waits) == 1
    closed = [place for place in layout.places if place.time == 120_160 * MS]
    assert layout.waits[0].bottom == closed[0].y


def test_the_same_trace_gives_the_same_bytes() -> None:
    assert ladder_svg(build_ladder(trouble().trace)) == ladder_svg(build_ladder(trouble().trace))

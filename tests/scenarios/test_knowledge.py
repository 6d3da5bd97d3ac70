"""Why three: what each side knows after each segment."""

from synfin.scenarios import SCENARIOS
from synfin.scenarios.knowledge import Known, knowledge


def known(name: str, **how: float) -> list[Known]:
    trace = SCENARIOS[name].play(**how).trace  # type: ignore[arg-type]
    assert trace is not None
    return knowledge(trace)


def rows(name: str, **how: float) -> list[tuple[int, str, str, str]]:
    """Number, segment, then what client and server know: `hears`, `heard`, or nothing."""
    return [
        (
            each.number,
            f"{each.flags} of {each.sender}" + (" lost" if each.lost else ""),
            *(" ".join(("hears",) * side.hears + ("heard",) * side.heard) for side in each.sides),
        )
        for each in known(name, **how)
    ]


def test_after_three_segments_both_know_that_they_hear_and_are_heard() -> None:
    assert rows("why-three") == [
        (1, "SYN of client", "", "hears"),
        (2, "SYN,ACK of server", "hears heard", "hears"),
        (3, "ACK of client", "hears heard", "hears heard"),
    ]


def test_after_two_the_server_does_not_know_that_it_is_heard_and_asks_in_vain() -> None:
    assert rows("why-three-stopped-after-two") == [
        (1, "SYN of client", "", "hears"),
        (2, "SYN,ACK of server", "hears heard", "hears"),
        (3, "ACK of client lost", "hears heard", "hears"),
        (4, "SYN,ACK of server", "hears heard", "hears"),
        (5, "ACK of client lost", "hears heard", "hears"),
        (6, "SYN,ACK of server", "hears heard", "hears"),
        (7, "ACK of client lost", "hears heard", "hears"),
    ]


def test_with_syn_and_ack_apart_it_takes_four_and_nobody_knows_more() -> None:
    four = rows("why-three-in-four-segments")
    assert four == [
        (1, "SYN of client", "", "hears"),
        (2, "SYN of server", "hears", "hears"),
        (3, "ACK of server", "hears heard", "hears"),
        (4, "SYN,ACK of client", "hears heard", "hears heard"),
    ]
    assert four[-1][2:] == rows("why-three")[-1][2:]


def test_a_segment_that_is_not_taken_teaches_nothing() -> None:
    assert rows("wrong-ack-syn-ack")[1] == (2, "SYN,ACK of server", "", "hears")


def test_a_lost_segment_teaches_nothing() -> None:
    assert rows("lost-syn")[0] == (1, "SYN of client lost", "", "")


def test_nothing_is_known_of_nothing() -> None:
    assert knowledge([]) == []


def test_it_is_said_in_both_languages() -> None:
    second = known("why-three")[1]
    assert second.say("en") == (
        "After segment 2 (SYN,ACK of server): client hears server and knows that server hears it; "
        "server hears client and does not know whether client hears it."
    )
    assert second.say("zh") == (
        "第 2 个报文段（server 的 SYN,ACK）之后：client 能听到 server，也知道 server 能听到自己；"
        "server 能听到 client，不知道 client 能否听到自己。"
    )
    lost = known("why-three-stopped-after-two")[2]
    assert lost.say("en").startswith("After segment 3 (ACK of client), which is lost: ")
    assert lost.say("zh").startswith("第 3 个报文段（client 的 ACK，丢失）之后：")

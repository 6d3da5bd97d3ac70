"""docs/channels.md keeps its word: the bytes that it shows are the bytes on the wire."""

import re
from pathlib import Path

from synfin.channels import framing, heartbeat
from synfin.channels.framing import LengthHeader
from synfin.channels.life import HEAD, KINDS, Life, LifeSettings

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "channels.md").read_text(encoding="utf-8")
NAMES = {name: getattr(framing, name) for name in ("LengthHeader", "VarintHeader", "Delimiter", "FixedSize")}


def test_the_framings_of_the_page_write_abc_as_it_says() -> None:
    table = re.findall(r"^\| `(\w+\(.*?\))` \| .*? \| `([0-9a-f ]+)` \|", PAGE, re.MULTILINE)
    summed = re.findall(r"^    (\w+\(.*checksum=True\)) +([0-9a-f ]+)$", PAGE, re.MULTILINE)
    assert (len(table), len(summed)) == (7, 2)
    for made, wire in table + summed:
        assert eval(made, NAMES).encode(b"abc") == bytes.fromhex(wire), made


def test_the_kinds_of_the_page_are_the_kinds() -> None:
    assert {int(kind, 16): name for kind, name in re.findall(r"^\| `(0\d)` \| (\w+) \|", PAGE, re.MULTILINE)} == KINDS


def test_the_conversations_of_the_page_are_what_two_sides_say() -> None:
    said = [*conversation(taking=False), *conversation(taking=True)]
    shown = re.findall(r"^    (client|server)   ([0-9a-f ]+?)   ", PAGE, re.MULTILINE)
    assert [(name, bytes.fromhex(wire)) for name, wire in shown] == said


def conversation(*, taking: bool) -> list[tuple[str, bytes]]:
    """A client says hi and leaves; with `taking` at once, while it receives."""
    client, server = Life(LifeSettings(), 0), Life(LifeSettings(), 0)
    said: list[tuple[str, bytes]] = []

    def say(name: str, one: Life, other: Life) -> None:
        for message in one.outgoing(0):
            said.append((name, LengthHeader(4).encode(message)))
            other.received(message)

    client.send(b"hi")
    if taking:
        client.close(taking=True)
    say("client", client, server)
    assert server.take(-LifeSettings().ack_delay) == b"hi"
    say("server", server, client)
    client.close()
    say("client", client, server)
    assert client.finished
    assert client.leaves(taking)
    return said


def test_the_numbers_of_the_page_are_the_defaults() -> None:
    chosen = LifeSettings()
    second, milli = heartbeat.SECOND, heartbeat.MILLISECOND
    assert chosen.detection == 30 * second
    for name, value in (
        ("window", f"({chosen.window})"), ("queue", f"({chosen.queue:,})"), ("ack_delay", f"({chosen.ack_delay // milli} ms)"),
        ("interval", f"({chosen.interval // second} s)"), ("timeout", f"({chosen.timeout // second} s)"),
        ("misses", f"({chosen.misses})"),
    ):  # fmt: skip
        assert re.search(rf"`{name}`[^`]*?{re.escape(value)}", PAGE), name
    assert HEAD.size == 9

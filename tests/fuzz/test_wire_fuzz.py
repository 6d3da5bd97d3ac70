"""Random and mutated bytes, whole and cut at every length, into every parser of wire: a value or ParseError, nothing else.

For each input besides: the usual way and the long way through parse_packet agree, a value lies within the buffer, and what
stands beyond the end of a segment changes nothing. All from fixed seeds; a failure shows its input in hex.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator

from synfin.engine.errors import DropReason
from synfin.engine.segment import Segment
from synfin.wire.errors import ParseError
from synfin.wire.ip4 import parse_ip4
from synfin.wire.ip6 import parse_ip6
from synfin.wire.packet import build_packet, complete_checksums, describe, parse_packet, verify_checksums
from synfin.wire.tcp import parse_tcp
from synfin.wire.tcpoptions import parse_options
from tests.wire.vectors import KEY4, KEY6, LINUX_SOLICITATION, LINUX_SYN4, LINUX_SYN6, facts, segment, with_timestamps

PARSE_REASONS = {
    DropReason.TRUNCATED, DropReason.IP_VERSION, DropReason.IP_HEADER, DropReason.IP_CHECKSUM, DropReason.IP_FRAGMENT,
    DropReason.NOT_TCP, DropReason.TCP_HEADER, DropReason.TCP_OPTION, DropReason.TCP_CHECKSUM,
}  # fmt: skip


def corpus() -> list[bytes]:
    """Packets of every shape that the parsers know, checksums right."""
    found = [LINUX_SYN4, LINUX_SYN6, LINUX_SOLICITATION]
    for key in (KEY4, KEY6):
        for payload in (b"", b"x", bytes(range(48))):
            plain = segment(0x18, payload)
            usual = with_timestamps(segment(0x18, payload))
            crowded = with_timestamps(segment(0x1FF, payload))
            crowded.urgent, crowded.sacks = 7, ((1, 2), (3, 4))
            opening = segment(0x02, payload)
            opening.mss, opening.wscale, opening.sack_permitted = 1460, 14, True
            found += [build_packet(key, out, identification=7) for out in (plain, usual, crowded, opening)]
    four, six = found[4], found[-3]
    longer = b"\x47\0" + (len(four) + 8).to_bytes(2, "big") + four[4:10] + bytes(2) + four[12:20] + b"\x07\x07\x04" + bytes(5)
    found.append(complete_checksums(longer + four[20:]))
    extensions = bytes.fromhex("2b00010400000000 3c00040000000000 2c00010400000000 0600000000000007")
    found.append(six[:4] + (len(six) - 8).to_bytes(2, "big") + b"\0\x40" + six[8:40] + extensions + six[40:])
    assert [verify_checksums(packet) for packet in found] == [packet is not LINUX_SOLICITATION for packet in found]
    return found


def mutated(rng: random.Random, packets: list[bytes]) -> bytes:
    """One of `packets` after one to four small accidents."""
    data = bytearray(rng.choice(packets))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.choice((0, 1, 2, 8, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                del data[at : at + rng.randint(1, 8)]
            case 4:
                other = rng.choice(packets)
                data[at:] = other[rng.randrange(len(other)) :]
            case _ if len(data) > 4:  # what an attacker would turn first: lengths, protocol, offset
                at = rng.choice((0, 2, 3, 4, 5, 6, 7, 9, 32, 33, 40, 41, 42, 52, 53, 60, 61)) % len(data)
                data[at] = rng.randrange(256)
    return bytes(data)


def repaired(data: bytes) -> bytes:
    """`data` with right checksums where it is a TCP packet without IP options, so that more than lengths are looked at."""
    at = 20 if data[:1] == b"\x45" else 40
    data = data[: at + 16] + bytes(2) + data[at + 18 :] if len(data) >= at + 18 else data
    return complete_checksums(data[:10] + bytes(2) + data[12:] if at == 20 and len(data) >= 12 else data)


def noise(rng: random.Random) -> bytes:
    """Random bytes, most of them with a first byte that leads somewhere."""
    data = bytearray(rng.randbytes(rng.randrange(120)))
    if data:
        data[0] = rng.choice((0x45, 0x46, 0x4F, 0x60, 0x6F, data[0]))
    if len(data) > 9 and rng.random() < 0.8:
        data[2:4] = rng.choice((len(data), len(data) - 1, rng.randrange(256))).to_bytes(2, "big")
        data[6], data[9] = 0, 6
        if data[0] >> 4 == 6:
            data[4:7] = max(0, len(data) - 40).to_bytes(2, "big") + rng.choice((b"\0", b"\6", b"\x2b", b"\x3c"))
    return bytes(data)


def inputs(seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    packets = corpus()
    for packet in packets:
        for size in range(len(packet) + 1):
            yield packet[:size]
            yield packet[:size] + rng.randbytes(8)
        for bit in range(8 * len(packet)):
            yield (int.from_bytes(packet, "big") ^ 1 << bit).to_bytes(len(packet), "big")
    for _ in range(150):  # whole, and cut at every length
        data = mutated(rng, packets)
        yield from (data[:size] for size in range(len(data) + 1))
    for _ in range(10_000):
        data = mutated(rng, packets)
        yield data
        yield repaired(data)
    for _ in range(10_000):
        yield noise(rng)


def outcome(parse: Callable[[], object]) -> object:
    """What `parse` says: its value, or the reason of its ParseError. Any other exception is a failure."""
    try:
        return parse()
    except ParseError as error:
        assert error.reason in PARSE_REASONS
        return error.reason


def told(data: bytes, *, verify: bool) -> object:
    def parse() -> object:
        key, parsed = parse_packet(data, verify=verify)
        return key, facts(parsed)

    return outcome(parse)


def laid_open(data: bytes) -> object:
    """As told(), the long way."""

    def parse() -> object:
        view = describe(data)
        assert len(view.ip_header) + len(view.tcp_header) + len(view.segment.payload) <= len(data)
        assert sum(2 + len(option.data) for option in view.options if option.kind > 1) <= 40
        return view.source + view.destination + view.tcp_header[:4], facts(view.segment)

    return outcome(parse)


def check(data: bytes, seen: Counter[object]) -> None:
    unverified = told(data, verify=False)
    assert laid_open(data) == unverified
    verified = told(data, verify=True)
    right = not isinstance(verified, DropReason)
    assert verify_checksums(data) or not right
    if right:
        assert verified == unverified
    completed = complete_checksums(data)
    assert len(completed) == len(data)
    assert complete_checksums(completed) == completed
    seen[verified if isinstance(verified, DropReason) else "value"] += 1
    seen[unverified if isinstance(unverified, DropReason) else "value unverified"] += 1


def test_every_input_to_the_packet_parsers_gives_a_value_or_the_one_error() -> None:
    seen: Counter[object] = Counter()
    count = 0
    for data in inputs(3):
        try:
            check(data, seen)
        except Exception as error:
            raise AssertionError(f"input {count}: {data.hex()}") from error
        count += 1
    assert count >= 60_000
    # The inputs reach everything that there is to reach.
    assert {reason for reason in seen if isinstance(reason, DropReason)} == PARSE_REASONS
    assert seen["value"] > 2_000
    assert seen["value unverified"] > 10_000


def segments(seed: int, count: int) -> Iterator[bytes]:
    """TCP headers with wild options, and wilder ones."""
    rng = random.Random(seed)
    kinds = (0, 1, 1, 2, 3, 4, 5, 8, 30, 254)
    sizes = (0, 1, 2, 3, 4, 6, 10, 18, 26, 34, 40, 255)
    for _ in range(count):
        options = bytearray()
        while len(options) < rng.choice((0, 4, 12, 20, 40)):
            kind, size = rng.choice(kinds), rng.choice(sizes)
            options += bytes((kind,)) if kind < 2 else bytes((kind, size)) + rng.randbytes(rng.randint(0, max(0, size - 2)))
        offset = rng.choice((5 + -(-len(options) // 4), 5, rng.randrange(16))) & 15
        yield rng.randbytes(12) + bytes((offset << 4 | rng.randrange(16),)) + rng.randbytes(7) + options + rng.randbytes(4)


def test_no_segment_or_option_reads_past_its_end() -> None:
    seen: Counter[object] = Counter()

    def look(buffer: bytes, end: int) -> object:
        def parse() -> object:
            parsed: Segment = parse_tcp(buffer, 3, end)
            return facts(parsed)

        return outcome(parse)

    for data in segments(4, 4_000):
        for size in (len(data), len(data) - 1, len(data) // 2 + 12, 19):
            whole = b"abc" + data[:size]
            first = look(whole, len(whole))
            assert look(whole + b"\x02\x04\xff\xff" * 20, len(whole)) == first, data.hex()
            assert look(whole + bytes(80), len(whole)) == first, data.hex()
            outcome(lambda whole=whole: parse_options(whole, 23, len(whole)))  # type: ignore[misc]
            seen[first if isinstance(first, DropReason) else "value"] += 1
    assert set(seen) == {"value", DropReason.TRUNCATED, DropReason.TCP_HEADER, DropReason.TCP_OPTION}
    assert seen["value"] > 1_000


def test_the_ip_parsers_alone_give_a_header_or_the_one_error() -> None:
    rng = random.Random(5)
    packets = corpus()
    for _ in range(5_000):
        data = mutated(rng, packets) if rng.random() < 0.5 else noise(rng)
        for parse in (parse_ip4, parse_ip6):
            result = outcome(lambda parse=parse, data=data: parse(data))  # type: ignore[misc]
            if not isinstance(result, DropReason):
                assert result.header_length <= result.end <= len(data), data.hex()  # type: ignore[attr-defined]

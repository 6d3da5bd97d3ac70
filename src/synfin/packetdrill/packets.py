"""Reads packets: direction, IP's fields, flags, numbers, options; ICMP messages.

Owns their grammar and the rules that one packet shows by itself (lengths that add up, options of whole words). What belongs to
the language and is not played here becomes Beyond. Knows no connection.
"""

import re
from typing import Final

from synfin.engine.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from synfin.packetdrill.source import DIGITS, WORD, Source
from synfin.packetdrill.syntax import Beyond, IcmpPacket, IpInfo, TcpOption, TcpPacket

FLAGS: Final = re.compile(r"[FSRPEWAUC.0-7]+(?=\s|/)|-(?=\s)")
FLAG_BITS: Final = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "E": ECE, "W": CWR, "C": CWR, "A": AE, "U": URG, ".": ACK}
COUNTERS: Final = re.compile(r"[0-7]")
ECN_FLAGS: Final = re.compile(r"[EWCA]")
PORTS: Final = re.compile(r"\d+\s*>\s*\d+", re.ASCII)
RANGE: Final = re.compile(r"\d+:", re.ASCII)
ECHOED: Final = re.compile(r"\[\s*(?:\d+\s*:|\.\.\.|(?:sctp|udp|udplite)\b)", re.ASCII)  # before the word icmp, in one dialect
NOT_TCP: Final = re.compile(r"(?:udp|udplite|sctp)\b")
ENCAPSULATED: Final = re.compile(r"(ipv4|ipv6|gre|mpls|udp|udplite|sctp|raw)\b")
NEXT_EVENT: Final = re.compile(r"\n[ \t]*(?:\+?[ \t]*(?:\d|\.\d)|\*|`|%\{)")
HEXWORD: Final = re.compile(r"[0-9a-fA-F]+(?![\w:])")
ECN: Final = ("noecn", "ect0", "ect1", "ce", "ect01")
WORD32: Final = 0xFFFFFFFF
WORD16: Final = 0xFFFF
MAX_OPTIONS: Final = 40
NOT_ABOUT_TCP: Final = "an ICMP message about another protocol"
# What has no number here is as long as its data; MSS, window scale, SACK permitted, timestamps, NOP, end.
SIZES: Final = {"mss": 4, "wscale": 3, "sackOK": 2, "TS": 10, "nop": 1, "eol": 1}


def read_packet(source: Source) -> TcpPacket | IcmpPacket | Beyond:
    """A packet, from its direction on."""
    inbound = source.take("<")
    if not inbound:
        source.need(">")
    found = source.peek(ENCAPSULATED)
    if found is not None:
        return _beyond(source, "UDP" if found == "udp" else found)
    if source.peek(ECHOED) is not None:
        return _echoing(source, inbound)
    ip = _ip(source)
    if ip.ecn == "ect01" and inbound:
        raise source.wrong("[ect01] is for packets that are expected")
    found = source.peek(ENCAPSULATED)
    if found is not None:
        return _beyond(source, "UDP" if found == "udp" else found)
    if source.take_word("icmp"):
        return _icmp(source, inbound, ip, None)
    return _tcp(source, inbound, ip)


def _beyond(source: Source, feature: str) -> Beyond:
    """Step over the rest of an event whose grammar nobody here needs."""
    found = NEXT_EVENT.search(source.text, source.at)
    source.at = found.start() if found else source.size
    source.blank()
    return Beyond(feature)


def _ip(source: Source) -> IpInfo:
    opening = "[" if source.sees("[") else "("
    if not source.take(opening):
        return IpInfo()
    closing = "]" if opening == "[" else ")"
    ecn = tos = ttl = label = None
    while not source.take(closing):
        start = source.at
        word = source.word("a field of the IP header")
        if word in ECN:
            ecn = word
        elif word in ("tos", "class"):
            tos = source.integer(word, 255)
        elif word == "dscp":
            tos = source.integer(word, 63) << 2
        elif word in ("ttl", "hlim"):
            ttl = source.integer(word, 255)
        elif word == "flowlabel":
            label = source.integer(word, 0xFFFFF)
        else:
            raise source.wrong(f"no field {word!r} of the IP header", start)
        if not source.sees(closing):
            source.need(",")
    return IpInfo(ecn, tos, ttl, label)


def _echoing(source: Source, inbound: bool) -> IcmpPacket | Beyond:
    """What is echoed, in brackets, and then the message."""
    source.need("[")
    if source.peek(NOT_TCP) is not None:
        return _beyond(source, NOT_ABOUT_TCP)
    seq, length, _ = _sequence(source)
    if source.sees("/"):
        return _beyond(source, "TCP over UDP")
    source.need("]")
    if not source.take_word("icmp"):
        raise source.error("'icmp'")
    return _icmp(source, inbound, IpInfo(), (seq or 0, length))


def _icmp(source: Source, inbound: bool, ip: IpInfo, echoed: tuple[int, int] | None) -> IcmpPacket | Beyond:
    kind = source.word("an ICMP type")
    code = ""
    if source.peek(WORD) not in (None, "mtu", "id"):
        code = source.word()
    mtu = source.integer("an MTU", WORD32) if source.take_word("mtu") else None
    identifier = source.integer("an identifier", WORD16) if source.take_word("id") else None
    raw = None
    bracket = echoed is None and source.take("[")
    if source.peek(NOT_TCP) is not None:
        return _beyond(source, NOT_ABOUT_TCP)
    if bracket and source.take_word("raw"):
        source.need("(")
        raw = source.integer("a length", WORD16)
        source.need(")")
    elif bracket or (echoed is None and source.peek(RANGE)):
        seq, length, _ = _sequence(source)
        echoed = seq or 0, length
    if bracket:
        source.need("]")
    return IcmpPacket(inbound, ip, kind, code, mtu, echoed, identifier, raw)


def _sequence(source: Source) -> tuple[int | None, int, bool]:
    """`1:1001(1000)`: number, length, and whether `!` makes it absolute; `...(n)` leaves the number open."""
    start = source.at
    seq = end = None
    if not source.take("..."):
        seq = source.integer("a sequence number", WORD32)
        source.need(":")
        end = source.integer("a sequence number", WORD32)
    source.need("(")
    length = source.integer("a length", WORD16)
    source.need(")")
    if seq is not None and end != seq + length & WORD32:
        raise source.wrong(f"{seq} and {length} bytes make {seq + length}, not {end}", start)
    return seq, length, source.take("!")


def _tcp(source: Source, inbound: bool, ip: IpInfo) -> TcpPacket | Beyond:
    ports = None
    if source.peek(PORTS) is not None:
        first = source.integer("a port", WORD16)
        source.need(">")
        ports = first, source.integer("a port", WORD16)
    flags = _flags(source)
    seq, length, absolute = _sequence(source)
    if seq is None and inbound:
        seq = 0
    ack, ack_absolute = None, False
    if source.take_word("ack"):
        if not source.take("..."):
            ack = source.integer("an acknowledgment number", WORD32)
            ack_absolute = source.take("!")
    elif flags & ACK:
        ack = 0
    window = source.integer("a window", WORD16) if source.take_word("win") else None
    if window is None and inbound:
        raise source.error("the window of an inbound packet")
    urgent = source.integer("an urgent pointer", WORD16) if source.take_word("urg") else None
    options = _options(source)
    if options is None and inbound:
        raise source.wrong("<...> is for packets that are expected")
    if source.sees("/") and not source.sees("//"):
        return _beyond(source, "TCP over UDP")
    if source.sees("{"):
        return _beyond(source, "fuzzed packets")
    for each in options or ():
        if each.name == "beyond":
            return Beyond(f"option {each.data.decode()}")
    return TcpPacket(inbound, ip, ports, flags, seq, length, absolute, ack, window, urgent, options, ack_absolute)


def _flags(source: Source) -> int:
    start = source.at
    found = source.match(FLAGS)
    if found is None:
        raise source.error("flags")
    if found == "-":
        return 0
    if "." not in found and source.sees(".") and not source.sees("..."):
        source.take(".")
        found += "."
    counters = COUNTERS.findall(found)
    if len(counters) > 1 or (counters and ECN_FLAGS.search(found)):
        raise source.wrong("the accurate-ECN counter beside its flags", start)
    count = int(counters[0]) if counters else 0
    bits = (AE if count & 4 else 0) | (CWR if count & 2 else 0) | (ECE if count & 1 else 0)
    for letter in found:
        bits |= FLAG_BITS.get(letter, 0)
    return bits


def _options(source: Source) -> tuple[TcpOption, ...] | None:
    """None for `<...>`."""
    start = source.at
    if not source.take("<"):
        return ()
    if source.take("..."):
        source.need(">")
        return None
    found: list[TcpOption] = []
    while not source.take(">"):
        option = _option(source)
        if option.name == "beyond":
            return (option,)
        count = 1
        if source.take("*"):
            count = source.integer("how often", MAX_OPTIONS)
        found += [option] * count
        if not source.sees(">"):
            source.need(",")
    total = sum(map(size, found))
    if total > MAX_OPTIONS:
        raise source.wrong(f"{total} bytes of options, a header has room for {MAX_OPTIONS}", start)
    if total % 4:
        raise source.wrong(f"{total} bytes of options are no whole words: add nop or eol", start)
    return tuple(found)


def size(option: TcpOption) -> int:
    """The bytes of `option` in a header."""
    if option.name == "sack":
        return 2 + 4 * len(option.numbers)
    if option.name in SIZES:
        return SIZES[option.name]
    return 2 + len(option.data)


def _option(source: Source) -> TcpOption:
    start = source.at
    if source.peek(DIGITS) is not None:
        return _unnamed(source)
    word = source.word("an option")
    if word in ("nop", "eol", "sackOK"):
        return TcpOption(word)
    if word == "mss":
        return TcpOption("mss", (source.integer("an MSS", WORD16),))
    if word == "wscale":
        return TcpOption("wscale", (None if source.take("*") else source.integer("a window scale", 255),))
    if word == "TS":
        if not source.take_word("val"):
            raise source.error("'val'")
        value = _open_number(source, "a timestamp")
        if not source.take_word("ecr"):
            raise source.error("'ecr'")
        echo = _open_number(source, "a timestamp")
        return TcpOption("TS", (value, echo), absolute=source.take("!"))
    if word == "sack":
        return _sack(source)
    if word == "FO":
        return TcpOption("FO", data=_bytes(source), kind=34)
    if word == "FOEXP" or (word == "EXP" and source.take("-FO")):
        return TcpOption("FOEXP", data=b"\xf9\x89" + _bytes(source), kind=254)
    if word == "unknown":
        return _unnamed(source)
    # md5, AccECN, those of MPTCP and what else a dialect may have: to the end of the list
    end = source.text.find(">", source.at)
    if end < 0:
        raise source.wrong("the options do not end", start)
    source.at = end + 1
    source.blank()
    return TcpOption("beyond", data=word.encode())


def _open_number(source: Source, wanted: str) -> int | None:
    return None if source.take("...") else source.integer(wanted, WORD32)


def _bytes(source: Source) -> bytes:
    start = source.at
    found = source.match(HEXWORD)
    if found is None:
        return b""
    digits = found[2:] if found[:2] in ("0x", "0X") else found
    if len(digits) % 2 or len(digits) > 2 * MAX_OPTIONS:
        raise source.wrong("bytes in hexadecimal, two digits each", start)
    return bytes.fromhex(digits)


def _unnamed(source: Source) -> TcpOption:
    """An option by its number, its data in hexadecimal behind it."""
    kind = source.integer("the number of an option", 255)
    source.take(":")
    source.take("0x")
    return TcpOption("unknown", data=_bytes(source), kind=kind)


def _sack(source: Source) -> TcpOption:
    edges: list[int | None] = []
    while source.peek(DIGITS) is not None:
        edges.append(source.integer("a SACK edge", WORD32))
        source.need(":")
        edges.append(source.integer("a SACK edge", WORD32))
    if not edges:
        raise source.error("a SACK block")
    return TcpOption("sack", tuple(edges))

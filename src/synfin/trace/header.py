"""One segment's header as RFC 9293 3.1 draws it in figure 1: bit ruler, fields with their values, the bytes beside it.

Owns the drawing and the words for fields, flags and options. Reads any TCP packet; 80 columns, ASCII lines.
"""

from typing import Final, NamedTuple

from synfin.engine.segment import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG
from synfin.trace.cells import centre, left, paint, width, wrap
from synfin.trace.events import endpoint_name
from synfin.wire.packet import complete_checksums, describe, verify_checksums
from synfin.wire.tcpoptions import Option
from synfin.words import Text

WIDTH: Final = 80
_BIT: Final = 2  # columns a bit
_SHOWN: Final = 16  # bytes of payload in the figure

SOURCE_PORT: Final = Text("Source Port", "源端口")
DESTINATION_PORT: Final = Text("Destination Port", "目的端口")
SEQUENCE: Final = Text("Sequence Number", "序号")
ACKNOWLEDGMENT: Final = Text("Acknowledgment Number", "确认号")
OFFSET: Final = (Text("Data", "数据"), Text("Offset", "偏移"))
RESERVED: Final = Text("Rsrvd", "保留")
WINDOW: Final = Text("Window", "窗口")
CHECKSUM: Final = Text("Checksum", "检验和")
URGENT: Final = Text("Urgent Pointer", "紧急指针")
NO_ACK: Final = Text("(not valid without ACK)", "（没有 ACK，无效）")
NO_URG: Final = Text("(no URG)", "（没有 URG）")
RIGHT_SUM: Final = Text("right", "正确")
WRONG_SUM: Final = Text("wrong", "错误")
BYTES: Final = Text("hex", "十六进制")
DATA: Final = Text("Data: {count} bytes", "数据：{count} 字节")
NO_DATA: Final = Text("no data", "没有数据")
HEADING: Final = Text("From {source} to {destination}", "从 {source} 到 {destination}")
FLAGS_HEADING: Final = Text("Flags that are set:", "置位的标志：")
NO_FLAGS: Final = Text("No flag is set.", "没有标志置位。")
FIELDS_HEADING: Final = Text("Fields:", "字段：")
OPTIONS_HEADING: Final = Text("Options:", "选项：")
CONTINUED: Final = Text("(continued)", "（续）")
PADDING: Final = Text("Padding", "填充")
LENGTH: Final = Text("Length", "长度")
KIND: Final = Text("Kind", "类型")

FLAGS: Final[tuple[tuple[int, str, Text], ...]] = (
    (AE, "AE", Text("accurate ECN (RFC 9768), formerly NS", "精确 ECN（RFC 9768），旧称 NS")),
    (CWR, "CWR", Text("congestion window reduced: the sender has slowed down", "拥塞窗口已减小：发送方已降速")),
    (ECE, "ECE", Text("ECN echo: the network signalled congestion", "ECN 回显：网络发出了拥塞信号")),
    (URG, "URG", Text("the urgent pointer is valid", "紧急指针有效")),
    (ACK, "ACK", Text("the acknowledgment number is valid", "确认号有效")),
    (PSH, "PSH", Text("hand this to the application at once", "立即把数据交给应用程序")),
    (RST, "RST", Text("reset: the connection is refused or ended at once", "复位：拒绝连接或立即终止连接")),
    (SYN, "SYN", Text("synchronize sequence numbers: asks to open, takes one number", "同步序号：请求建立连接，占用一个序号")),
    (FIN, "FIN", Text("nothing more will be sent, takes one number", "不再发送数据，占用一个序号")),
)

# What each field is for; the value is put before it.
MEANINGS: Final[tuple[tuple[Text, Text], ...]] = (
    (SOURCE_PORT, Text("the sender's end of the connection", "发送方这一端的端口")),
    (DESTINATION_PORT, Text("the receiver's end of the connection", "接收方那一端的端口")),
    (SEQUENCE, Text("number of the first byte of data, or of the SYN", "第一个数据字节（或 SYN）的序号")),
    (ACKNOWLEDGMENT, Text("number of the next byte that the sender expects", "发送方期待的下一个字节的序号")),
    (Text("Data Offset", "数据偏移"), Text("length of the header in words of 4 bytes", "首部长度，以 4 字节为单位")),
    (WINDOW, Text("bytes that the sender has room for, before scaling", "发送方还能接收的字节数（缩放前）")),
    (CHECKSUM, Text("over header, data and both addresses", "覆盖首部、数据和双方地址")),
    (URGENT, Text("where urgent data ends, counted from the sequence number", "紧急数据的终点，从序号算起")),
)
OPTIONS: Final[dict[int, Text]] = {
    0: Text("End of options", "选项结束"),
    1: Text("No-operation: fills up to a boundary", "空操作：用于对齐"),
    2: Text("Maximum segment size {a} bytes: send no larger payload", "最大报文段长度 {a} 字节：数据部分不要超过它"),
    3: Text("Window scale {a}: multiply windows by {b}", "窗口扩大因子 {a}：窗口值乘以 {b}"),
    4: Text("Selective acknowledgment permitted", "允许选择确认"),
    5: Text("Selective acknowledgment: {a}", "选择确认：{a}"),
    8: Text("Timestamps: mine {a}, yours echoed {b}", "时间戳：本方 {a}，回显对方 {b}"),
}
OPTION_OTHER: Final = Text("Option {a}, unknown here: skipped", "未知选项 {a}：跳过")


class _Cell(NamedTuple):
    """A field of a row: how many bits, and what stands in it."""

    bits: int
    text: str


def header_text(packet: bytes, *, lang: str = "en", color: bool = False) -> str:
    """The TCP header in `packet` (bytes from the IP header on), drawn and explained, lines of at most 80 cells.

    Checksums that a link left out are completed first. Raises wire.errors.ParseError when it is no TCP packet.
    """
    return _Drawing(complete_checksums(packet), lang, color).text()


class _Drawing:
    def __init__(self, packet: bytes, lang: str, color: bool) -> None:
        self.packet = packet
        self.view = describe(packet)
        self.lang = lang
        self.color = color

    def text(self) -> str:
        """Everything, each line ended by a newline."""
        view, lang = self.view, self.lang
        heading = HEADING.say(
            lang,
            source=endpoint_name(view.source, view.source_port),
            destination=endpoint_name(view.destination, view.destination_port),
        )
        lines = [heading, "", *self._figure(), "", *self._flags(), "", *self._fields(), *self._options()]
        return "".join(f"{line}\n" for line in lines)

    # The figure

    def _figure(self) -> list[str]:
        rule = "+-" * 32 + "+"
        tens = "".join(f"{n // 10} " if n % 10 == 0 else "  " for n in range(32))
        ones = "".join(f"{n % 10} " for n in range(32))
        lines = [
            f" {tens}  {BYTES.say(self.lang)}".rstrip(),
            f" {ones}".rstrip(),
            rule,
        ]
        for index, row in enumerate(self._rows()):
            data = self.view.tcp_header[4 * index : 4 * index + 4]
            lines += [*self._beside(row, data.hex(" ")), rule]
        return lines + self._payload(rule)

    def _beside(self, row: list[str], said: str) -> list[str]:
        return [*row[:-1], f"{row[-1]}  {paint(said, 'cyan', self.color)}"]

    def _rows(self) -> list[list[str]]:
        """The lines of each 32-bit word."""
        view, segment = self.view, self.view.segment
        fixed = [
            [_row(_Cell(16, f"{SOURCE_PORT.say(self.lang)} = {view.source_port}"),
                  _Cell(16, f"{DESTINATION_PORT.say(self.lang)} = {view.destination_port}"))],
            [_row(_Cell(32, f"{SEQUENCE.say(self.lang)} = {segment.seq}"))],
            [_row(_Cell(32, f"{ACKNOWLEDGMENT.say(self.lang)} = {segment.ack}{self._validity(ACK, NO_ACK)}"))],
            self._flag_rows(),
            [_row(_Cell(16, f"{CHECKSUM.say(self.lang)} = 0x{view.checksum:04x}"),
                  _Cell(16, f"{URGENT.say(self.lang)} = {segment.urgent}{self._validity(URG, NO_URG)}"))],
        ]  # fmt: skip
        return fixed + self._option_rows()

    def _validity(self, flag: int, remark: Text) -> str:
        return "" if self.view.segment.flags & flag else f" {remark.say(self.lang)}"

    def _flag_rows(self) -> list[str]:
        """The fourth word: flag names run downwards, the values stand in the last line."""
        segment, lang = self.view.segment, self.lang
        lines = []
        for line in range(3):
            offset = OFFSET[line].say(lang) if line < 2 else ""
            letters = [_Cell(1, name[line : line + 1] or " ") for _, name, _ in FLAGS]
            names = (RESERVED.say(lang) if line == 0 else "", WINDOW.say(lang) if line == 1 else "")
            lines.append(_row(_Cell(4, offset), _Cell(3, names[0]), *letters, _Cell(16, names[1])))
        reserved = self.view.tcp_header[12] >> 1 & 7
        bits = [_Cell(1, "1" if segment.flags & bit else "0") for bit, _, _ in FLAGS]
        words = self.view.tcp_header[12] >> 4
        lines.append(_row(_Cell(4, str(words)), _Cell(3, str(reserved)), *bits, _Cell(16, str(segment.window))))
        return lines

    def _option_rows(self) -> list[list[str]]:
        rows: list[list[str]] = []
        cells: list[_Cell] = []
        room = 32
        for bits, text in self._option_cells():
            first = True
            while bits:
                taken = min(bits, room)
                cells.append(_Cell(taken, text if first else CONTINUED.say(self.lang)))
                bits, room, first = bits - taken, room - taken, False
                if room == 0:
                    rows.append([_row(*cells)])
                    cells, room = [], 32
        return rows

    def _option_cells(self) -> list[_Cell]:
        """The fields of all options one after the other, padding to the header's end included."""
        cells: list[_Cell] = []
        used = 0
        for option in self.view.options:
            kind = option.kind
            if kind < 2:
                cells.append(_Cell(8, "NOP" if kind == 1 else "End"))
                used += 8
                continue
            name = f" {_SHORT[kind]}" if kind in _SHORT else ""
            cells.append(_Cell(8, f"{KIND.say(self.lang)}={kind}{name}"))
            cells.append(_Cell(8, f"{LENGTH.say(self.lang)} = {len(option.data) + 2}"))
            cells += _values(option)
            used += 8 * (len(option.data) + 2)
        rest = 8 * (len(self.view.tcp_header) - 20) - used
        if rest > 0:
            cells.append(_Cell(rest, PADDING.say(self.lang)))
        return cells

    def _payload(self, rule: str) -> list[str]:
        payload = bytes(self.view.segment.payload)
        if not payload:
            return [NO_DATA.say(self.lang)]
        shown = payload[:_SHOWN]
        lines = [_row(_Cell(32, DATA.say(self.lang, count=len(payload))))]
        for start in range(0, len(shown), 4):
            part = shown[start : start + 4]
            said = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            lines += self._beside([_row(_Cell(32, said))], part.hex(" "))
        if len(payload) > _SHOWN:
            lines.append(_row(_Cell(32, "...")))
        return [*lines, rule]

    # What it means

    def _flags(self) -> list[str]:
        lang = self.lang
        lines = [
            f"  {paint(left(name, 5), 'bold green', self.color)} {text.say(lang)}"
            for bit, name, text in FLAGS
            if self.view.segment.flags & bit
        ]
        return [FLAGS_HEADING.say(lang), *lines] if lines else [NO_FLAGS.say(lang)]

    def _fields(self) -> list[str]:
        view, lang = self.view, self.lang
        segment = view.segment
        right = (RIGHT_SUM if verify_checksums(self.packet) else WRONG_SUM).say(lang)
        values = (
            view.source_port, view.destination_port, segment.seq, segment.ack, len(view.tcp_header) // 4,
            segment.window, f"0x{view.checksum:04x} {right}", segment.urgent,
        )  # fmt: skip
        lines = [FIELDS_HEADING.say(lang)]
        for (name, meaning), value in zip(MEANINGS, values, strict=True):
            said = meaning.say(lang)
            if (name is ACKNOWLEDGMENT and not segment.flags & ACK) or (name is URGENT and not segment.flags & URG):
                said = (NO_ACK if name is ACKNOWLEDGMENT else NO_URG).say(lang).strip("()（）")
            lines.append(f"  {left(name.say(lang), 22)} {left(str(value), 13)} {said}".rstrip())
        return _within(lines, 39)

    def _options(self) -> list[str]:
        options = self.view.options
        if not options:
            return []
        lines = ["", OPTIONS_HEADING.say(self.lang)]
        for option in options:
            values = [cell.text for cell in _values(option)]
            numbers = [value.rpartition(" ")[2] for value in values] or [str(option.kind)]
            a = ", ".join(_sacks(option)) if option.kind == 5 else numbers[0]
            b = numbers[1] if len(numbers) > 1 else ""
            if option.kind == 3 and option.data:
                b = str(1 << min(option.data[0], 14))
            text = OPTIONS.get(option.kind)
            if text is None or (len(option.data) != _DATA.get(option.kind, len(option.data))):
                text, a = OPTION_OTHER, str(option.kind)
            lines.append("  " + text.say(self.lang, a=a, b=b))
        return [part for line in lines for part in (wrap(line, WIDTH) if line else [""])]


_SHORT: Final[dict[int, str]] = {2: "MSS", 3: "WS", 4: "SACKp", 5: "SACK", 8: "TS"}
_DATA: Final[dict[int, int]] = {0: 0, 1: 0, 2: 2, 3: 1, 4: 0, 8: 8}  # bytes of data of the options of fixed size


def _values(option: Option) -> list[_Cell]:
    """The fields in an option's data."""
    data = option.data
    if option.kind == 2 and len(data) == 2:
        return [_Cell(16, f"MSS = {int.from_bytes(data, 'big')}")]
    if option.kind == 3 and len(data) == 1:
        return [_Cell(8, f"Shift = {data[0]}")]
    if option.kind == 8 and len(data) == 8:
        return [
            _Cell(32, f"TSval = {int.from_bytes(data[:4], 'big')}"),
            _Cell(32, f"TSecr = {int.from_bytes(data[4:], 'big')}"),
        ]
    if option.kind == 5 and len(data) % 8 == 0:
        names = ("Left edge", "Right edge")
        return [
            _Cell(32, f"{names[at // 4 % 2]} = {int.from_bytes(data[at : at + 4], 'big')}") for at in range(0, len(data), 4)
        ]
    return [_Cell(8 * len(data), data.hex(" "))] if data else []


def _sacks(option: Option) -> list[str]:
    edges = [str(int.from_bytes(option.data[at : at + 4], "big")) for at in range(0, len(option.data), 4)]
    return [f"{a} - {b}" for a, b in zip(edges[::2], edges[1::2], strict=False)]


def _row(*cells: _Cell) -> str:
    return "|" + "|".join(_fitted(cell.text, cell.bits * _BIT - 1) for cell in cells) + "|"


def _fitted(text: str, size: int) -> str:
    return centre(text if width(text) <= size else text.replace(" = ", "="), size)


def _within(lines: list[str], indent: int) -> list[str]:
    """The lines, those over 80 cells continued below their last column."""
    out = []
    for line in lines:
        first, *rest = wrap(line, WIDTH)
        out.append(first)
        out += [f"{' ' * indent}{part}" for part in rest]
    return out

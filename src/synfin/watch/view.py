"""`synfin watch` on a screen: one block of text for each source, and the table of half-open entries.

Owns the layout and its words. Renders what it is given with rich, in any width from 80 columns on; reads and judges nothing.
"""

import ipaddress
import time
from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text as Styled

from synfin.engine.state import State
from synfin.watch.findings import Finding, Level
from synfin.watch.observed import Observed, ranked
from synfin.watch.owners import HIDDEN as OWNERS_HIDDEN
from synfin.watch.rates import ListenerChange, Prefix, Rates
from synfin.watch.sample import HalfOpenEntry
from synfin.watch.verdict_words import LEVELS
from synfin.words import Text

SECOND: Final = 1_000_000_000  # ns
STYLES: Final = {Level.NONE: "green", Level.SUSPECTED: "bold yellow", Level.FLOOD: "bold red"}
KERNEL: Final = Text("Kernel", "内核")
RUNNING: Final = Text("synfin {name}, process {pid}", "synfin {name}，进程 {pid}")
SINCE: Final = Text("rates over {seconds:.3g} s", "速率取自最近 {seconds:.3g} 秒")
FIRST: Final = Text("first sample: rates follow", "首次采样：速率稍后给出")

SILENT: Final = Text("synfin {who} does not answer", "synfin {who} 没有应答")
EVERY: Final = Text("every {interval:g} s; Ctrl-C ends it", "每 {interval:g} 秒一次；按 Ctrl-C 结束")

HEAD: Final = (
    Text("Listener", "监听地址"), Text("SYN_RECV", "半连接"), Text("Accept", "全连接"), Text("Drops/s", "丢弃/秒"),
    Text("New/s", "新增/秒"), Text("Nets", "网段"), Text("Nets/s", "网段/秒"), Text("Program", "程序"),
)  # fmt: skip
NO_LISTENERS: Final = Text("Nothing listens here.", "这里没有任何监听套接字。")
HIDDEN: Final = Text("and {count} listeners more, all of them quieter", "另有 {count} 个较空闲的监听套接字未列出")
FROM: Final = Text("from {prefix}", "来自 {prefix}")
OTHERS: Final = Text("{count} more", "其余 {count} 个网段")

# The totals and, for a synfin, each listener's: by the names in sample.COUNTS.
RATES: Final = {
    "completed": Text("completed {rate}/s", "完成握手 {rate}/秒"),
    "cookies_sent": Text("cookies sent {rate}/s", "发出 cookie {rate}/秒"),
    "cookies_accepted": Text("cookies accepted {rate}/s", "接受 cookie {rate}/秒"),
    "cookies_refused": Text("cookies refused {rate}/s", "拒绝 cookie {rate}/秒"),
    "syn_ack_repeats": Text("SYN-ACKs repeated {rate}/s", "重发 SYN-ACK {rate}/秒"),
    "syn_queue_drops": Text("SYN queue full {rate}/s", "SYN 队列满 {rate}/秒"),
    "accept_queue_drops": Text("accept queue overflows {rate}/s", "accept 队列溢出 {rate}/秒"),
    "evicted": Text("evicted {rate}/s", "挤出 {rate}/秒"),
    "expired": Text("expired {rate}/s", "超时 {rate}/秒"),
    "resets": Text("reset {rate}/s", "被重置 {rate}/秒"),
}
ALWAYS: Final = ("completed", "cookies_sent", "cookies_accepted", "accept_queue_drops")
SYNS: Final = Text("SYNs {rate}/s", "SYN {rate}/秒")
SYNS_AT_LEAST: Final = Text("SYNs at least {rate}/s (estimated)", "SYN 至少 {rate}/秒（估算）")
STATES: Final = Text("States", "状态")
TOGETHER: Final = Text("Together", "合计")
SEPARATOR: Final = Text("; ", "；")

ENTRY_HEAD: Final = (
    Text("State", "状态"), Text("Local Address:Port", "本地地址:端口"), Text("Peer Address:Port", "对端地址:端口"),
    Text("Age", "已存在"), Text("SYN-ACKs", "SYN-ACK 次数"), Text("Program", "程序"),
)  # fmt: skip
NO_ENTRIES: Final = Text("No half-open connection.", "没有半连接。")


def endpoint(address: bytes, port: int) -> str:
    """`address` and `port` as ss writes them; all zeros is any address, port 0 any port."""
    number = ipaddress.ip_address(address)
    text = f"[{number}]" if number.version == 6 else str(number)
    return f"{text}:{port or '*'}"


def prefix(found: Prefix) -> str:
    """CIDR notation."""
    return f"{ipaddress.ip_address(found.network)}/{found.bits}"


def rate(value: float | None) -> str:
    """A rate to three digits or whole: 0.25, 12.5, 20,013; `-` where it is not known."""
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def heading(now: float, interval: float | None, lang: str) -> Styled:
    """The first line: the time `now`, seconds since the epoch, and on a screen how often it changes."""
    line = Styled("synfin watch", style="bold")
    line.append(time.strftime("  %Y-%m-%d %H:%M:%S", time.localtime(now)), style="not bold")
    if interval is not None:
        line.append("  " + EVERY.say(lang, interval=interval), style="not bold dim")
    return line


def screen(
    sources: Sequence[Observed], lang: str, *, silent: Sequence[str] = (), rows: int | None = None,
    reasons: int | None = None, crop: bool = False,
) -> RenderableType:  # fmt: skip
    """All `sources`, one below the other; at most `rows` listeners of each and `reasons` of each finding (None: all).

    `silent` are those that do not answer. With `crop` a row of the table that is too long is cut, else it is not.
    """
    blocks: list[RenderableType] = [Styled(SILENT.say(lang, who=who), style="yellow") for who in silent]
    for each in sources:
        if blocks:
            blocks.append(Styled(""))
        blocks += _block(each, lang, rows, reasons, crop)
    return Group(*blocks)


def _block(seen: Observed, lang: str, rows: int | None, reasons: int | None, crop: bool) -> list[RenderableType]:
    blocks: list[RenderableType] = [_title(seen, lang)]
    for finding in seen.findings:
        blocks += _finding(finding, lang, reasons)
    ordered = ranked(seen)
    shown = ordered if rows is None else ordered[:rows]
    blocks += _listeners(shown, lang, crop) if shown else [_indented(Styled(NO_LISTENERS.say(lang), style="dim"))]
    if len(ordered) > len(shown):
        blocks.append(_indented(Styled(HIDDEN.say(lang, count=len(ordered) - len(shown)), style="dim")))
    blocks.append(_Line(TOGETHER.say(lang), map(Styled, _together(seen, lang)), SEPARATOR.say(lang)))
    blocks.append(_Line(STATES.say(lang), _states(seen), "  "))
    blocks += [_marked("!", pile.say(lang), "yellow") for pile in seen.piles]
    blocks += [_indented(Styled(line, style="dim")) for line in notes(seen, lang)]
    return blocks


def title(seen: Observed, lang: str) -> str:
    """Which source it is."""
    return KERNEL.say(lang) if seen.pid is None else RUNNING.say(lang, name=seen.name, pid=seen.pid)


def notes(seen: Observed, lang: str) -> list[str]:
    """What is to be known beside all that is shown."""
    return [OWNERS_HIDDEN.say(lang)] if seen.hidden else []


def _finding(finding: Finding, lang: str, reasons: int | None) -> list[RenderableType]:
    """What is said, and below it why."""
    title = Styled(finding.title.say(lang), style=STYLES[finding.level] if finding.level else "yellow")
    return [_indented(title), *(_marked("-", reason.say(lang)) for reason in finding.reasons[:reasons])]


def _marked(mark: str, sentence: str, style: str = "") -> RenderableType:
    """A sentence behind a mark; what does not fit goes on below its first word."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Styled(mark, style=style), Styled(sentence, style=style))
    return _indented(grid)


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 2))


def _title(seen: Observed, lang: str) -> Styled:
    line = Styled(title(seen, lang) + "  ", style="bold")
    verdict = LEVELS[seen.level].say(lang)
    line.append(f"{verdict} ({seen.score:.2f})" if seen.level else verdict, style=STYLES[seen.level])
    seconds = seen.change.seconds
    line.append("  " + (SINCE.say(lang, seconds=seconds) if seconds else FIRST.say(lang)), style="not bold dim")
    return line


class _Line:
    """A label and parts behind it, none of them broken; what does not fit goes on below the first part."""

    def __init__(self, label: str, parts: Iterable[Styled], separator: str) -> None:
        self._label = label
        self._parts = list(parts)
        self._separator = separator

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = Styled(f"  {self._label} ", style="bold")
        indent = label.cell_len
        line = Styled(no_wrap=True).append_text(label)
        for index, part in enumerate(self._parts):
            behind = self._separator if index + 1 < len(self._parts) else ""
            if line.cell_len > indent and line.cell_len + part.cell_len + cell_len(behind.rstrip()) > options.max_width:
                line.rstrip()
                yield line
                line = Styled(" " * indent, no_wrap=True)
            line.append_text(part).append(behind, style="not bold")
        yield line


def _together(seen: Observed, lang: str) -> list[str]:
    change = seen.change
    first = SYNS if change.total.counts["syns"] is not None else SYNS_AT_LEAST
    return [first.say(lang, rate=rate(change.syns_at_least)), *_rates(change.total, lang)]


def _rates(rates: Rates, lang: str) -> list[str]:
    parts = []
    for name, text in RATES.items():
        value = rates.counts[name]
        if value is not None and (value or name in ALWAYS):
            parts.append(text.say(lang, rate=rate(value)))
    return parts


def _states(seen: Observed) -> list[Styled]:
    """All eleven, in the RFC's order; CLOSED, which no tool has a row for, only where somebody counts it."""
    counts = seen.change.sample.states
    shown = [state for state in State if state is not State.CLOSED or str(state) in counts]
    return [Styled(f"{state} {counts.get(str(state), 0)}", style="" if counts.get(str(state)) else "dim") for state in shown]


def _listeners(shown: Sequence[ListenerChange], lang: str, crop: bool) -> list[RenderableType]:
    """A row for each, below it where its half-open entries come from and what it counts itself."""
    rows = [[Styled(text.say(lang), style="dim") for text in HEAD], *(_row(each) for each in shown)]
    first, *lines = columns(rows, "<>>>>>><", crop=crop)
    blocks: list[RenderableType] = [_indented(first)]
    for each, line in zip(shown, lines, strict=True):
        blocks.append(_indented(line))
        if each.top:
            blocks.append(_Line(" ", _sources(each, lang), ", "))
        syns = each.rates.counts["syns"]
        if syns is not None and len(shown) > 1:
            parts = [SYNS.say(lang, rate=rate(syns)), *_rates(each.rates, lang)]
            blocks.append(_Line(" ", map(Styled, parts), SEPARATOR.say(lang)))
    return blocks


def _row(each: ListenerChange) -> list[Styled]:
    listener = each.listener
    full = listener.half_open_limit is not None and listener.half_open >= listener.half_open_limit
    late = listener.accept_limit is not None and listener.accept_queue > listener.accept_limit
    return [
        Styled(endpoint(listener.address, listener.port)),
        Styled(_of(listener.half_open, listener.half_open_limit), style="bold red" if full else ""),
        Styled(_of(listener.accept_queue, listener.accept_limit), style="bold yellow" if late else ""),
        Styled(rate(_dropped(each))),
        Styled(rate(each.rates.new_half_open)),
        Styled(f"{each.prefixes:,}"),
        Styled(rate(each.new_prefixes)),
        Styled(listener.owner),
    ]


def columns(rows: Sequence[Sequence[Styled]], alignment: str, *, crop: bool = False) -> list[Styled]:
    """`rows` as lines, every cell as wide as the widest of its column; `alignment` has a < or > for each column.

    With `crop` a line that is too long for the screen is cut there.
    """
    widths = [max(row[index].cell_len for row in rows) for index in range(len(alignment))]
    lines = []
    for row in rows:
        line = Styled(no_wrap=True, overflow="ellipsis" if crop else "ignore")
        for cell, size, way in zip(row, widths, alignment, strict=True):
            space = " " * (size - cell.cell_len)
            line.append("  " if line.plain else "").append(space if way == ">" else "").append_text(cell)
            line.append(space if way == "<" else "")
        line.rstrip()
        lines.append(line)
    return lines


def _of(count: int, limit: int | None) -> str:
    return f"{count:,}/{'?' if limit is None else format(limit, ',')}"


def _dropped(each: ListenerChange) -> float | None:
    """What the socket itself dropped, or what its queues turned away."""
    if each.rates.drops is not None:
        return each.rates.drops
    counts = [each.rates.counts[name] for name in ("syn_queue_drops", "accept_queue_drops")]
    known = [value for value in counts if value is not None]
    return sum(known) if known else None


def _sources(each: ListenerChange, lang: str) -> list[Styled]:
    parts = [f"{prefix(found)} ({found.entries})" for found in each.top]
    parts[0] = FROM.say(lang, prefix=parts[0])
    if each.prefixes > len(parts):
        parts.append(OTHERS.say(lang, count=f"{each.prefixes - len(parts):,}"))
    return [Styled(part, style="dim") for part in parts]


def entry_rows(found: Iterable[HalfOpenEntry], lang: str) -> list[str]:
    """Half-open entries as lines, the heading first, as ss has them; one sentence when there is none."""
    rows = [[Styled(text.say(lang)) for text in ENTRY_HEAD]]
    rows += [[Styled(cell) for cell in _entry(each)] for each in found]
    return [line.plain for line in columns(rows, "<<<>><")] if len(rows) > 1 else [NO_ENTRIES.say(lang)]


def _entry(each: HalfOpenEntry) -> tuple[str, ...]:
    return (
        "SYN-RECV", endpoint(each.local, each.local_port), endpoint(each.remote, each.remote_port),
        "-" if each.age is None else f"{each.age / SECOND:.1f}s", "-" if each.syn_acks is None else str(each.syn_acks),
        each.owner,
    )  # fmt: skip

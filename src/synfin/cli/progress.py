"""The line on a terminal that says how far long transfers are, written over as they go on.

Owns the counting of bytes and that line. Knows neither what is carried nor over what.
"""

import asyncio
import contextlib
import time
from typing import Final, TextIO

from synfin.words import Text

SHOWN_AFTER: Final = 1.0  # seconds; a shorter transfer shows no progress
AGAIN: Final = 0.5  # seconds

ONE = Text("{sent} sent, {received} received, {rate}/s", "已发送 {sent}，已接收 {received}，{rate}/秒")
MANY = Text(
    "{count} connections: {sent} sent, {received} received, {rate}/s",
    "{count} 个连接：已发送 {sent}，已接收 {received}，{rate}/秒",
)


class Count:
    """Bytes each way of one transfer, which began at `now` seconds (time.monotonic's)."""

    __slots__ = ("began", "received", "sent", "told")

    def __init__(self, now: float) -> None:
        self.began = now
        self.sent = 0
        self.received = 0
        self.told = 0  # bytes, both ways together, when the line was written last


class Line:
    """The line about those of `counts` that are long, on `stream`; `counts` may grow and shrink meanwhile."""

    def __init__(self, counts: list[Count], lang: str, stream: TextIO, now: float) -> None:
        self._counts = counts
        self._lang = lang
        self._stream = stream
        self._before = now
        self._begun = False

    def update(self, now: float) -> None:
        """Write the line as it is at `now` seconds. It begins with the first bytes of a long transfer, and is left standing
        when the last has ended."""
        moved, elapsed, self._before = 0, now - self._before, now
        for count in self._counts:
            total = count.sent + count.received
            moved, count.told = moved + total - count.told, total
        shown = [count for count in self._counts if count.told and now - count.began >= SHOWN_AFTER]
        if not shown:
            self.end()
        elif moved or self._begun:
            line = (ONE if len(shown) == 1 else MANY).say(
                self._lang, count=len(shown), sent=size(sum(each.sent for each in shown)),
                received=size(sum(each.received for each in shown)), rate=size(int(moved / elapsed) if elapsed > 0 else 0),
            )  # fmt: skip
            self._write(f"\r{line}\x1b[K")
            self._begun = True

    def end(self) -> None:
        """Leave the line standing, where there is one."""
        if self._begun:
            self._begun = False
            self._write("\n")

    def _write(self, words: str) -> None:
        self._stream.write(words)
        self._stream.flush()


async def show(counts: list[Count], lang: str, stream: TextIO) -> None:
    """Keep the line about `counts` on the terminal `stream` until cancelled."""
    line = Line(counts, lang, stream, time.monotonic())
    try:
        while True:
            await asyncio.sleep(AGAIN)
            line.update(time.monotonic())
    finally:
        line.end()


async def end(showing: asyncio.Task[None]) -> None:
    """Cancel the task that shows progress; returns when the line is left. Repeating it does nothing."""
    showing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await showing


def size(number: int) -> str:
    """Bytes as a person reads them: `512 B`, `1.5 MB`."""
    if number < 1000:
        return f"{number} B"
    value, units = number / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}"

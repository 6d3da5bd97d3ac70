"""The study of a SYN flood: a server with a SYN queue and nothing else, then the same flood against SYN cookies.

Owns the stage (who calls when, how the flood goes), what is measured on it, and which handshakes are shown. What a listener
does about a flood is the engine's; how a plot or a ladder looks is trace's.
"""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from synfin.engine.config import SECOND, TcpConfig
from synfin.engine.connection import Connection
from synfin.engine.listener import Listener
from synfin.engine.segment import SYN, Segment
from synfin.scenarios.stage import DELAY, PORT
from synfin.scenarios.study import Curve, Part, Rungs, Said, Shown, Study, said, words
from synfin.sim.flood import Flood
from synfin.sim.host import SimHost
from synfin.sim.program import Socket
from synfin.sim.world import World
from synfin.stack.addresses import listener_key, make_key
from synfin.trace.events import SegmentSent, connection_name
from synfin.trace.plots import Axis, Plot, Series, Span
from synfin.trace.recorder import Trace
from synfin.words import Text

QUEUE: Final = 256  # half-open entries that the server keeps
RATE: Final = 200.0  # forged SYNs a second
BEGINS: Final = 5.0  # seconds: when the flood begins ...
LASTS: Final = 20.0  # ... and how long it lasts
END: Final = 90.0  # seconds of the run
EACH: Final = 0.5  # seconds between two callers, and between two samples
WORK: Final = 0.2  # seconds that the server takes for a client
HANDSHAKE: Final = 0.1  # seconds of a ladder that shows a handshake alone
PATIENCE: Final = 10.0  # seconds after which a caller gives up
FIRST_PORT: Final = 20_000  # of the first caller; the next ones count up
CALM: Final = 6  # callers whose handshakes are shown: one before the flood ...
AMID: Final = 40  # ... and one in its midst
MEASURED: Final = 512  # entries whose memory is measured

FLOOD: Final = Text("the flood", "攻击期间")
TIME: Final = Text("seconds", "秒")
DROP: Final = Text("without cookies", "不用 SYN cookie")
COOKIES: Final = Text("cookies when the queue is full", "队列满时用 SYN cookie")
ALWAYS: Final = Text("cookies always", "始终用 SYN cookie")

INTRODUCTION: Final = Text(
    "A server keeps {queue} half-open connections. From second {begins} to second {ends} come {rate} SYNs a second from"
    " addresses that nobody has; every {each} s a real client calls, and gives up after {patience} s.",
    "服务器最多保留 {queue} 个半连接。第 {begins} 秒到第 {ends} 秒，每秒有 {rate} 个来自伪造地址的 SYN；"
    "每 {each} 秒有一个真实客户端来连接，等 {patience} 秒后放弃。",
)
BEFORE: Final = Text("Before the flood: a client connects.", "攻击之前：一个客户端建立连接。")
FORGED: Final = Text(
    "One forged SYN of {sent}: nobody answers, so the server repeats its SYN,ACK and keeps the entry for {life} s.",
    "{sent} 个伪造 SYN 之一：没有人应答，服务器不断重发 SYN,ACK，这个半连接要占用队列 {life} 秒。",
)
REFUSED: Final = Text(
    "Amid the flood, without cookies: the queue is full, the client's SYNs are dropped without a word, and it gives up.",
    "攻击之中，不用 cookie：队列已满，客户端的 SYN 被悄悄丢弃，最后只好放弃。",
)
ANSWERED: Final = Text(
    "The same second with SYN cookies: the server answers and keeps nothing; the client's ACK brings back what it needs to"
    " know.",
    "同一时刻，使用 SYN cookie：服务器应答但什么都不保存；客户端的 ACK 把需要的信息带了回来。",
)
LADDERS: Final = (
    Text("a client before the flood", "攻击之前的客户端"),
    Text("one forged SYN", "一个伪造的 SYN"),
    Text("a client amid the flood, without cookies", "攻击之中的客户端，不用 cookie"),
    Text("the same client, with cookies", "同一个客户端，使用 cookie"),
)
QUEUE_TITLE: Final = Text("Half-open entries in the SYN queue", "SYN 队列中的半连接")
ENTRIES: Final = Text("entries", "个")
SHARE_TITLE: Final = Text("Clients whose handshake completes", "完成握手的客户端比例")
SHARE: Final = Text("% of the callers of 2 s", "每 2 秒来访者的百分比")
BYTES_TITLE: Final = Text("Memory held by half-open connections, three designs", "半连接占用的内存，三种设计")
BYTES: Final = Text("bytes", "字节")
FULL_DESIGN: Final = Text(
    "a whole connection from SYN-RECEIVED on, {size} bytes each", "从 SYN-RECEIVED 起就是完整连接，每个 {size} 字节"
)
COMPACT_DESIGN: Final = Text("synfin's compact entry, {size} bytes each", "synfin 的紧凑表项，每个 {size} 字节")
COOKIE_DESIGN: Final = Text("SYN cookies always: nothing is kept", "始终用 SYN cookie：什么都不保存")
OUTCOME: Final = Text(
    "{design}: {failed} of {callers} clients failed; {dropped} SYNs dropped, {cookies} cookies sent, {accepted} came back;"
    " at most {most} half-open entries.",
    "{design}：{callers} 个客户端中 {failed} 个失败；丢弃 SYN {dropped} 个，发出 cookie {cookies} 个，"
    "收回 {accepted} 个；半连接最多 {most} 个。",
)
MORAL: Final = Text(
    "The flood lasted {lasts} s; without cookies clients failed for {failing} s, because an entry that nobody answers stays"
    " {life} s. {few} forged SYNs a second are enough to keep the queue full.",
    "攻击持续 {lasts} 秒；不用 cookie 时客户端却有 {failing} 秒连不上，因为无人应答的半连接要保留 {life} 秒。"
    "每秒 {few} 个伪造的 SYN 就足以让队列一直满着。",
)


@dataclass(slots=True)
class Run:
    """What one run came to: samples (second, half-open entries), and each caller's (second, whether it got through)."""

    trace: Trace
    listener: Listener
    flood: Flood
    entries: list[tuple[float, float | None]] = field(default_factory=list)
    calls: dict[int, tuple[float, bool]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Callers who did not get through."""
        return sum(not through for _, through in self.calls.values())

    @property
    def most(self) -> int:
        """The largest number of half-open entries in a sample."""
        return max(int(count or 0) for _, count in self.entries)

    def share(self) -> tuple[tuple[float, float | None], ...]:
        """The percentage of callers that got through, by the two seconds in which they began."""
        slots: dict[int, list[bool]] = {}
        for began, through in self.calls.values():
            slots.setdefault(int(began // 2), []).append(through)
        return tuple((2.0 * slot + 1, 100.0 * sum(found) / len(found)) for slot, found in sorted(slots.items()))

    def failing(self) -> float:
        """Seconds from the first to the last caller that failed."""
        began = [at for at, through in self.calls.values() if not through]
        return max(began) - min(began) + EACH if began else 0.0


async def _listen(server: SimHost, found: list[Listener]) -> None:
    listener = server.socket()
    listener.bind(PORT)
    listener.listen(QUEUE)
    found.append(next(entry for entry in server.stack.sockets() if isinstance(entry, Listener)))
    while True:
        server.spawn(_serve(server, await listener.accept()), background=True)


async def _serve(server: SimHost, s: Socket) -> None:
    """One client: a moment of work, then the close."""
    await server.sleep(WORK)
    s.close()


async def _call(client: SimHost, number: int, calls: dict[int, tuple[float, bool]]) -> None:
    began = client.now() / SECOND
    calls[number] = (began, False)
    s = client.socket()
    s.bind(FIRST_PORT + number)
    s.settimeout(PATIENCE)
    try:
        await s.connect(("server", PORT))
        calls[number] = (began, True)
        await s.recv()
    except OSError:
        pass
    s.close()


def play(seed: int, cookies: str) -> Run:
    """One run of END seconds with `syn_cookies` as said."""
    config = TcpConfig(syn_backlog=QUEUE, syn_cookies=cookies)
    world = World(seed, config=config)
    client, server = world.host("client"), world.host("server")
    world.link(client, server, delay=DELAY)
    listeners: list[Listener] = []
    with world:
        world.spawn(_listen(server, listeners), "listen", background=True)
        world.run(0.0)
        flood = world.flood(server, rate=RATE, duration=LASTS, at=BEGINS, port=PORT)
        assert world.trace is not None, "a study is played to be seen"
        run = Run(world.trace, listeners[0], flood)
        count = int((END - PATIENCE) / EACH)
        for number in range(count):
            world.call_at(number * EACH, _start, world, client, number, run.calls)
        for number in range(int(END / EACH)):
            world.call_at(number * EACH, _sample, world, run)
        world.run(END)
    return run


def _start(world: World, client: SimHost, number: int, calls: dict[int, tuple[float, bool]]) -> None:
    world.spawn(_call(client, number, calls), f"caller {number}", background=True)


def _sample(world: World, run: Run) -> None:
    run.entries.append((world.now, float(run.listener.half_open)))


def memory() -> tuple[int, int]:
    """Bytes that one half-open connection holds as a whole Connection, and as a listener's entry, its table included."""
    config = TcpConfig(syn_backlog=MEASURED, syn_cookies="off")
    local = bytes((10, 0, 0, 2))

    def key_of(number: int) -> bytes:
        return make_key(bytes((198, 51, number >> 8, number & 0xFF)), 1024 + number, local, PORT)

    def syn() -> Segment:
        segment = Segment(1, 0, SYN, 65_535)
        segment.mss, segment.wscale, segment.sack_permitted, segment.has_timestamps, segment.tsval = 1460, 7, True, True, 1
        return segment

    def whole() -> object:
        return {
            key: Connection.from_request(key, config, 1, 0, 1500, syn(), 0, 0)
            for key in (key_of(number) for number in range(MEASURED))
        }

    def compact() -> object:
        listener = Listener(
            listener_key(local, PORT), config, backlog=MEASURED, accept_limit=MEASURED, mtu=1500, isn=lambda key, now: 1,
            ts_offset=lambda key: 0,
        )  # fmt: skip
        listener.listen(0)
        for number in range(MEASURED):
            listener.receive_from(key_of(number), syn(), 0)
        listener.replies.clear()
        return listener

    return _held(whole) // MEASURED, _held(compact) // MEASURED


def _held(make: Callable[[], object]) -> int:
    """Bytes that what `make` returns holds."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make()
    held = tracemalloc.get_traced_memory()[0] - before
    if not running:
        tracemalloc.stop()
    del kept
    return held


def _named(number: int) -> str:
    """The connection of a caller, as the trace names it."""
    return connection_name(make_key(bytes((10, 0, 0, 2)), PORT, bytes((10, 0, 0, 1)), FIRST_PORT + number))


def _forged(run: Run) -> str:
    """The connection of the flood's first SYN."""
    return next(e.connection for e in run.trace if isinstance(e, SegmentSent) and e.host == run.flood.name)


def _outcome(design: Text, run: Run) -> Said:
    counts = run.listener.counts
    return said(
        OUTCOME, design=design, failed=run.failed, callers=len(run.calls), dropped=counts.syn_queue_drops,
        cookies=counts.cookies_sent, accepted=counts.cookies_accepted, most=run.most,
    )  # fmt: skip


def _plots(runs: tuple[Run, Run, Run]) -> tuple[Plot, Plot, Plot]:
    drop, pressure, always = runs
    full, compact = memory()
    spans = (Span(FLOOD, BEGINS, BEGINS + LASTS),)
    time = Axis(TIME, low=0.0, high=END)

    def held(run: Run, size: int) -> tuple[tuple[float, float | None], ...]:
        return tuple((at, (count or 0) * size) for at, count in run.entries)

    queue = Plot(
        QUEUE_TITLE, time, Axis(ENTRIES),
        (Series(DROP, tuple(drop.entries), True), Series(COOKIES, tuple(pressure.entries), True),
         Series(ALWAYS, tuple(always.entries), True)),
        spans,
    )  # fmt: skip
    share = Plot(
        SHARE_TITLE, time, Axis(SHARE, low=0.0, high=100.0),
        (Series(DROP, drop.share(), True), Series(COOKIES, pressure.share(), True)), spans,
    )  # fmt: skip
    sizes = Plot(
        BYTES_TITLE, time, Axis(BYTES),
        (Series(_sized(FULL_DESIGN, full), held(drop, full), True),
         Series(_sized(COMPACT_DESIGN, compact), held(drop, compact), True),
         Series(COOKIE_DESIGN, held(always, compact), True)),
        spans,
    )  # fmt: skip
    return queue, share, sizes


def _sized(words_: Text, size: int) -> Text:
    return Text(words_.say("en", size=size), words_.say("zh", size=size))


def syn_flood(seed: int) -> Shown:
    """Play the three runs and choose what is shown of them."""
    runs = (play(seed, "off"), play(seed, "pressure"), play(seed, "always"))
    drop, pressure, always = runs
    life = (2 ** (drop.listener.config.syn_ack_retries + 1) - 1) * drop.listener.config.rto_initial // SECOND
    parts: list[Part] = [
        words(said(INTRODUCTION, queue=QUEUE, begins=f"{BEGINS:g}", ends=f"{BEGINS + LASTS:g}", rate=f"{RATE:g}",
                   each=f"{EACH:g}", patience=f"{PATIENCE:g}")),
        words(said(BEFORE)),
        Rungs(LADDERS[0], drop.trace, _named(CALM), HANDSHAKE),
        words(said(FORGED, sent=drop.flood.sent, life=life)),
        Rungs(LADDERS[1], drop.trace, _forged(drop)),
        words(said(REFUSED)),
        Rungs(LADDERS[2], drop.trace, _named(AMID)),
        words(said(ANSWERED)),
        Rungs(LADDERS[3], pressure.trace, _named(AMID), HANDSHAKE),
        *(Curve(plot) for plot in _plots(runs)),
        words(_outcome(DROP, drop), _outcome(COOKIES, pressure), _outcome(ALWAYS, always),
              said(MORAL, lasts=f"{LASTS:g}", failing=f"{drop.failing():g}", life=life,
                   few=-(-QUEUE // life))),
    ]  # fmt: skip
    return Shown(tuple(parts), pressure.trace)


STUDIES: Final = (
    Study(
        "syn-flood",
        Text(
            "A SYN flood: the queue fills and clients fail; with SYN cookies none does",
            "SYN 攻击：队列占满，客户端失败；用 SYN cookie 则无一失败",
        ),
        syn_flood,
    ),
)

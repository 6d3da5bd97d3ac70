"""`synfin probe`: the liveness check between two machines, and what each side knows after each message.

Owns the sentences and the order of checks. What may be claimed is channels/liveness.py's; this module claims nothing itself.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from synfin.channels import livenessaio
from synfin.channels.errors import ChannelError
from synfin.channels.liveness import Learned, Outcome, Resting
from synfin.channels.livenessaio import Checker, TcpPeer
from synfin.cli.output import in_words
from synfin.engine.errors import UsageError
from synfin.words import Text

BOTH_DIRECTIONS: Final = 0  # exit status
NOT_BOTH: Final = 1
MANY: Final = 1 << 62  # checks: until Ctrl-C
MOMENT: Final = 0.001  # seconds after which the rest is over in any case

ASKED = Text("we ask: 1+1?  Nothing is known yet.", "我方发问：1+1？现在还什么都不知道。")
HEARS = Text(
    'they ask, we answer "2, and 2+2?"  We hear them; whether they hear us is not known yet.',
    "对方发问，我方答：“2，那么 2+2 呢？”我方听得到对方；对方是否听得到我方，还不知道。",
)
ANSWERED = Text(
    'the answer has come, we say "4".  We hear them, and they hear us.',
    "收到了回答，我方说“4”。我方听得到对方，对方也听得到我方。",
)
CONFIRMED = Text(
    "our question has been answered.  We hear them, and they hear us.",
    "我方的问题得到了回答。我方听得到对方，对方也听得到我方。",
)
DOWN = Text(
    "no answer within {patience:g} s: the path is taken to be down{rests}.",
    "{patience:g} 秒内没有回答：视为网络不通{rests}。",
)
UNCONFIRMED = Text(
    "nothing more within {patience:g} s: we hear them; not confirmed that they hear us, which proves nothing{rests}.",
    "{patience:g} 秒内没有下文：我方听得到对方；对方是否听得到我方未经确认，这并不证明听不到{rests}。",
)
RESTS = Text("; resting until {until} ({rest:g} s)", "；休息到 {until}（{rest:g} 秒）再问")
LISTENING = Text(
    "listening on {kind} {address} port {port}; Ctrl-C ends it.", "正在 {kind} {address} 端口 {port} 上等候；按 Ctrl-C 结束。"
)
NO_CONNECTION = Text("no TCP connection: {why}.  The check could not begin.", "TCP 连不上：{why}。检查无从开始。")
PASSED_OVER = Text(
    "passed over as no part of a check: unreadable {garbage}, with a wrong number {wrong}, too late {late}.",
    "有不属于任何检查的消息，已忽略：无法读懂 {garbage} 条，编号不对 {wrong} 条，来得太晚 {late} 条。",
)
ENDED = Text("the connection has ended: {why}.", "连接已结束：{why}。")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was chosen on the command line; times in seconds."""

    udp: bool
    every: float | None
    count: int | None
    patience: float
    rest: float
    as_json: bool
    lang: str


class Peer(Protocol):
    """What a check is made with."""

    async def check(self) -> Learned:
        """See livenessaio.Checker."""


class Reporter:
    """Says each step, as it happens. `last` is how the last check ended; `ended` how many of `checks` have."""

    def __init__(self, options: Options, checks: int) -> None:
        self.options = options
        self.checks = checks
        self.last: Outcome | None = None
        self.ended = 0
        self.changed = asyncio.Event()
        self._began = time.monotonic()
        self._passed_over = {"garbage": 0, "wrong": 0, "late": 0}

    @property
    def status(self) -> int:
        """The exit status."""
        return BOTH_DIRECTIONS if self.last is Outcome.BOTH else NOT_BOTH

    def asked(self, peer: str) -> None:
        """A check of ours begins."""
        self._say(peer, "asked", ASKED.say(self.options.lang), hears=False, heard=False)

    def learned(self, peer: str, learned: Learned) -> None:
        """Something was learnt of `peer`."""
        options, outcome = self.options, learned.outcome
        rests = ""
        if outcome is not None and self.ended + 1 < self.checks:  # after the last one nobody rests
            until = time.strftime("%H:%M:%S", time.localtime(time.time() + options.rest))
            rests = RESTS.say(options.lang, until=until, rest=options.rest)
        said = text_of(learned).say(options.lang, patience=options.patience, rests=rests)
        resting = options.rest if outcome in (Outcome.DOWN, Outcome.UNCONFIRMED) else 0.0
        step = "heard the question" if outcome is None else outcome.value
        self._say(peer, step, said, hears=learned.knowledge.hears, heard=learned.knowledge.heard, rests=resting)
        if outcome is not None:
            self.last = outcome
            self.ended += 1
            self.changed.set()

    def failed(self, peer: str, text: Text, why: object) -> None:
        """There is no connection to check, or none any more."""
        self.last = None
        self._say(peer, "no connection", text.say(self.options.lang, why=why), hears=False, heard=False)

    def notice(self, text: Text, **facts: object) -> None:
        """For the person at the terminal alone."""
        print(text.say(self.options.lang, **facts), file=sys.stderr, flush=True)

    def pass_over(self, checkers: Iterable[Checker]) -> None:
        """These have ended: what came to them and was no part of a check is told at the end."""
        for checker in checkers:
            for kind in self._passed_over:
                self._passed_over[kind] += getattr(checker.liveness.counts, kind)

    def end(self) -> None:
        """Nothing more comes."""
        if any(self._passed_over.values()):
            self.notice(PASSED_OVER, **self._passed_over)

    def _say(self, peer: str, step: str, sentence: str, *, hears: bool, heard: bool, rests: float = 0.0) -> None:
        at = time.monotonic() - self._began
        if self.options.as_json:
            told = {"at": round(at, 6), "peer": peer, "step": step, "hears": hears, "heard": heard, "rests": rests}
            print(json.dumps(told, ensure_ascii=False), flush=True)
        else:
            print(f"{at:9.3f} s  {peer}  {sentence}", flush=True)


def text_of(learned: Learned) -> Text:
    """The sentence for it."""
    if learned.outcome is None:
        return HEARS
    if learned.outcome is Outcome.BOTH:
        return ANSWERED if learned.asked else CONFIRMED
    return DOWN if learned.outcome is Outcome.DOWN else UNCONFIRMED


def shown(address: Any) -> str:
    """`host:port`."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check(host: str, port: int, options: Options) -> int:
    """Check the path to `host`; returns the exit status. Raises UsageError for one that cannot be sent to."""
    if host.startswith("[") and host.endswith("]"):  # as we write it ourselves
        host = host[1:-1]
    try:
        host.encode("idna")
    except UnicodeError:
        raise UsageError(f"{host!r} is no name of a host") from None
    checks = options.count or (1 if options.every is None else MANY)
    return _until_interrupted(Reporter(options, checks), lambda reporter: _check(host, port, reporter))


def listen(address: str, port: int, options: Options) -> int:
    """Answer who checks us; returns the exit status. Raises UsageError for an address or port that cannot be had."""
    return _until_interrupted(Reporter(options, options.count or MANY), lambda reporter: _listen(address, port, reporter))


def _until_interrupted(reporter: Reporter, program: Callable[[Reporter], Any]) -> int:
    async def main() -> int:
        task = asyncio.ensure_future(program(reporter))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        reporter.end()
        return reporter.status

    return asyncio.run(main())


async def _check(host: str, port: int, reporter: Reporter) -> None:
    options, name = reporter.options, shown((host, port))
    try:
        async with _peer(host, port, name, reporter) as peer:
            while await _once(peer, name, reporter) < reporter.checks:
                rest = 0.0 if reporter.last is Outcome.BOTH else options.rest + MOMENT
                await asyncio.sleep(max(options.every or 0.0, rest))
    except ChannelError as error:
        reporter.failed(name, ENDED, error)


async def _once(peer: Peer, name: str, reporter: Reporter) -> int:
    """One check, after the rest if one goes on; returns how many have ended."""
    while True:
        reporter.asked(name)
        try:
            await peer.check()
        except Resting:  # after a check that the peer began
            await asyncio.sleep(reporter.options.rest + MOMENT)
        else:
            return reporter.ended


@asynccontextmanager
async def _peer(host: str, port: int, name: str, reporter: Reporter) -> AsyncIterator[Peer]:
    options = reporter.options

    def told(_: object, learned: Learned) -> None:
        reporter.learned(name, learned)

    if options.udp:
        try:
            udp = await livenessaio.connect_udp(host, port, told, patience=options.patience, rest=options.rest)
        except OSError as error:
            raise UsageError(f"{name}: {in_words(error)}") from None
        try:
            yield udp
        finally:
            reporter.pass_over(udp.peers.values())
            udp.close()
        return
    try:
        tcp = await livenessaio.connect_tcp(
            host, port, told, patience=options.patience, rest=options.rest, timeout=options.patience
        )
    except socket.gaierror as error:
        raise UsageError(f"{name}: {in_words(error)}") from None
    except (OSError, ChannelError) as error:
        reporter.failed(name, NO_CONNECTION, in_words(error) if isinstance(error, OSError) else error)
        raise asyncio.CancelledError from None
    try:
        yield tcp
    finally:
        reporter.pass_over([tcp.checker])
        tcp.transport.close()
        await tcp.wait_lost()


async def _listen(address: str, port: int, reporter: Reporter) -> None:
    options = reporter.options
    serving = _udp_listener if options.udp else _tcp_listener
    async with serving(address, port, reporter) as bound:
        reporter.notice(LISTENING, kind="UDP" if options.udp else "TCP", address=address, port=bound)
        while reporter.ended < reporter.checks:
            reporter.changed.clear()
            await reporter.changed.wait()


@asynccontextmanager
async def _udp_listener(address: str, port: int, reporter: Reporter) -> AsyncIterator[int]:
    options = reporter.options
    try:
        peers = await livenessaio.listen_udp(
            address, port, lambda peer, learned: reporter.learned(shown(peer), learned), patience=options.patience,
            rest=options.rest,
        )  # fmt: skip
    except OSError as error:
        raise _cannot_listen("UDP", address, port, error) from None
    try:
        yield peers.transport.get_extra_info("sockname")[1]
    finally:
        reporter.pass_over(peers.peers.values())
        peers.close()


@asynccontextmanager
async def _tcp_listener(address: str, port: int, reporter: Reporter) -> AsyncIterator[int]:
    options = reporter.options

    def told(peer: TcpPeer, learned: Learned) -> None:
        reporter.learned(shown(peer.transport.get_extra_info("peername")), learned)

    async def handle(peer: TcpPeer) -> None:
        try:
            await peer.wait_ended()
        finally:
            reporter.pass_over([peer.checker])

    try:
        listening = await livenessaio.listen_tcp(
            address, port, told, patience=options.patience, rest=options.rest, handler=handle
        )  # fmt: skip
    except OSError as error:
        raise _cannot_listen("TCP", address, port, error) from None
    async with listening as server:
        yield server.port


def _cannot_listen(kind: str, address: str, port: int, error: OSError) -> UsageError:
    return UsageError(f"cannot listen on {kind} {address} port {port}: {in_words(error)}")

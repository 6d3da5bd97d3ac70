"""Generated streams of samples: what a listener's counters and table look like under innocent traffic and under floods.

Every handshake is drawn by itself: when its SYN arrives, from where, its round trip, which of its SYN,ACKs is answered. What
the queue does with it (entry, cookie, drop) is played out, and the counters are read at the samples. Parameters are drawn from
wide ranges by a seed: `innocent(case, seed)` and `flood(case, seed)`. tests/watch/test_verdict_simulated.py compares the
streams with the simulated network.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from synfin.watch.sample import Counts, HalfOpenEntry, ListenerSample, Sample

SECOND: Final = 1_000_000_000
ATTEMPTS: Final = (0.0, 1.0, 3.0, 7.0, 15.0, 31.0)  # a SYN,ACK and its repeats, seconds after the SYN
LIFE: Final = 63.0
CLIENT, SILENT, RESETS = range(3)  # how a source answers a SYN,ACK
ANY: Final = bytes(4)
LIMITS: Final = (128, 256, 511, 1024, 4096)
INNOCENT: Final = (
    "busy server", "flash crowd", "port scan", "peer behind loss", "slow clients", "restart", "health checks", "slow server",
    "idle server",
)  # fmt: skip
FLOODS: Final = (
    "random v4", "random v6", "one /16", "one /24", "one v6 prefix", "one host", "answered by reset", "among clients",
)  # fmt: skip
SOURCES: Final = ("synfin", "kernel", "table")


@dataclass(slots=True)
class Arrivals:
    """Handshakes that begin: seconds, source addresses, round trips (s), loss each way, how they answer."""

    at: np.ndarray
    remote: list[bytes]
    rtt: np.ndarray
    loss: float
    answers: int = CLIENT


@dataclass(slots=True)
class Server:
    """How a listener keeps its queues. `accept_rate`: connections it accepts a second; None: all at once."""

    limit: int = 256
    cookies: str = "off"
    accept_limit: int = 128
    accept_rate: float | None = None
    stall: tuple[float, float] = (0.0, 0.0)  # from and to when it accepts nothing


@dataclass(slots=True)
class Log:
    """What happened, as times in seconds; of half-open entries when they began and ended, remote address and port."""

    syns: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)  # SYNs of which there is an entry: its SYN,ACK goes again
    completed: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    queue_drops: list[float] = field(default_factory=list)
    accept_drops: list[float] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    remote: list[bytes] = field(default_factory=list)
    port: list[int] = field(default_factory=list)
    waiting: list[tuple[float, int]] = field(default_factory=list)  # length of the accept queue since then

    def over(self, begun: float, ended: float, remote: bytes, port: int) -> None:
        """A half-open entry that ended, or will."""
        self.begun.append(begun)
        self.ended.append(ended)
        self.remote.append(remote)
        self.port.append(port)


class Playing:
    """Plays the arrivals against one server, in the order of time."""

    def __init__(self, server: Server, rng: np.random.Generator) -> None:
        self.server, self.rng, self.log = server, rng, Log()
        self.heap: list[tuple[float, int, str, tuple[object, ...]]] = []
        self.half_open = self.queued = self.number = 0
        self.dice = iter(())

    def random(self) -> float:
        """One draw; drawn in blocks."""
        for each in self.dice:
            return each
        self.dice = iter(self.rng.random(4096).tolist())
        return next(self.dice)

    def later(self, at: float, what: str, *facts: object) -> None:
        self.number += 1
        heapq.heappush(self.heap, (at, self.number, what, facts))

    def play(self, traffic: list[Arrivals], end: float) -> Log:
        """All of `traffic`, until `end`."""
        easy = self.without_queueing(traffic)
        if easy is not None:
            return easy
        merged = []
        for each in traffic:
            merged += zip(each.at.tolist(), each.remote, each.rtt.tolist(), [each] * len(each.remote), strict=True)
        merged.sort(key=lambda item: item[0])
        for at, remote, rtt, kind in merged:
            self.run_to(at)
            self.syn(at, remote, 1024 + int(self.random() * 64000), rtt, kind, 0)
        self.run_to(end)
        for at, _, what, facts in self.heap:  # what still waits when the stream ends
            if what in ("done", "reset", "expire"):
                begun, remote, port, *_ = facts
                self.log.over(begun, at, remote, port)
        return self.log

    def without_queueing(self, traffic: list[Arrivals]) -> Log | None:
        """The same at once for all handshakes, where none meets a full queue; None where one does."""
        if self.server.accept_rate is not None:
            return None
        if self.server.cookies == "always":
            return by_cookie(traffic, self.rng)
        log = Log()
        parts = [drawn(each, self.rng, log) for each in traffic]
        begun, ended = np.concatenate([each.at for each in traffic]), np.concatenate([each[0] for each in parts])
        fates = np.concatenate([each[1] for each in parts])
        arrived = np.sort(begun)
        there = np.arange(len(arrived)) - np.searchsorted(np.sort(ended), arrived, side="right")
        if len(there) and there.max() >= self.server.limit:
            return None
        log.syns += begun.tolist()
        log.completed, log.resets = ended[fates == CLIENT].tolist(), ended[fates == RESETS].tolist()
        log.begun, log.ended = begun.tolist(), ended.tolist()
        log.remote = [remote for each in traffic for remote in each.remote]
        log.port = self.rng.integers(1024, 65536, len(begun)).tolist()
        return log

    def run_to(self, now: float) -> None:
        while self.heap and self.heap[0][0] <= now:
            at, _, what, facts = heapq.heappop(self.heap)
            getattr(self, what)(at, *facts)

    def full(self) -> bool:
        return self.queued > self.server.accept_limit

    def syn(self, now: float, remote: bytes, port: int, rtt: float, kind: Arrivals, attempt: int) -> None:
        """A SYN of a handshake that the server has no entry of."""
        self.log.syns.append(now)
        room = self.half_open < self.server.limit
        if self.full():
            self.log.accept_drops.append(now)
            self.again(now, remote, port, rtt, kind, attempt)
        elif self.server.cookies == "always" or (self.server.cookies == "pressure" and not room):
            self.log.sent.append(now)
            if kind.answers != CLIENT:
                return
            if self.random() < kind.loss:  # of the SYN,ACK
                self.again(now, remote, port, rtt, kind, attempt)
            else:  # where the ACK is lost, the data behind it brings the cookie
                self.later(now + rtt + (1.0 if self.random() < kind.loss else 0.0), "cookie")
        elif room:
            self.half_open += 1
            self.wait(now, now, remote, port, rtt, kind)
        else:
            self.log.queue_drops.append(now)
            self.again(now, remote, port, rtt, kind, attempt)

    def again(self, now: float, remote: bytes, port: int, rtt: float, kind: Arrivals, attempt: int) -> None:
        """A client whose SYN was not answered sends it again at 1, 3, 7 s."""
        if kind.answers == CLIENT and attempt < 3:
            self.later(now + 2.0**attempt, "syn", remote, port, rtt, kind, attempt + 1)

    def wait(self, now: float, begun: float, remote: bytes, port: int, rtt: float, kind: Arrivals) -> None:
        """Draw which SYN,ACK, of those sent from `now` on, is answered."""
        if kind.answers != SILENT:
            for after in ATTEMPTS:
                if begun + after < now:
                    continue
                lost = self.random() < kind.loss
                if not lost and self.random() >= kind.loss:
                    what = "done" if kind.answers == CLIENT else "reset"
                    self.later(begun + after + rtt, what, begun, remote, port, rtt, kind)
                    return
                if lost and kind.answers == CLIENT and self.random() >= kind.loss:  # then the client's SYN comes again
                    self.log.repeated.append(begun + 2 * after + 1.0)
                    if self.random() < (1 - kind.loss) ** 2:
                        self.later(begun + 2 * after + 1.0 + rtt, "done", begun, remote, port, rtt, kind)
                        return
        self.later(begun + LIFE, "expire", begun, remote, port)

    def done(self, now: float, begun: float, remote: bytes, port: int, rtt: float, kind: Arrivals) -> None:
        if self.full():
            self.log.accept_drops.append(now)
            self.wait(now + 1e-9, begun, remote, port, rtt, kind)
            return
        self.half_open -= 1
        self.log.over(begun, now, remote, port)
        self.accept_later(now)

    def cookie(self, now: float) -> None:
        if self.full():
            self.log.accept_drops.append(now)
            return
        self.log.accepted.append(now)
        self.accept_later(now)

    def accept_later(self, now: float) -> None:
        self.log.completed.append(now)
        if self.server.accept_rate is None:
            return
        self.queued += 1
        self.log.waiting.append((now, self.queued))
        if self.queued == 1:
            self.next_accept(now)

    def next_accept(self, now: float) -> None:
        start, stop = self.server.stall
        begin = stop if start <= now < stop else now
        assert self.server.accept_rate is not None
        self.later(begin + 1 / self.server.accept_rate, "accept")

    def accept(self, now: float) -> None:
        self.queued -= 1
        self.log.waiting.append((now, self.queued))
        if self.queued:
            self.next_accept(now)

    def reset(self, now: float, begun: float, remote: bytes, port: int, *_: object) -> None:
        self.half_open -= 1
        self.log.resets.append(now)
        self.log.over(begun, now, remote, port)

    def expire(self, now: float, begun: float, remote: bytes, port: int) -> None:
        self.half_open -= 1
        self.log.over(begun, now, remote, port)


def drawn(some: Arrivals, rng: np.random.Generator, log: Log) -> tuple[np.ndarray, np.ndarray]:
    """When each entry ends and how (CLIENT, SILENT for expired, RESETS); as Playing.wait draws it for one."""
    ended, fates = some.at + LIFE, np.full(len(some.at), SILENT)
    left = np.arange(len(some.at)) if some.answers != SILENT else np.arange(0)
    for after in ATTEMPTS:
        lost = rng.random(len(left)) < some.loss
        answered = ~lost & (rng.random(len(left)) >= some.loss)
        ended[left[answered]] = (some.at + after + some.rtt)[left[answered]]
        if some.answers == CLIENT and lost.any():
            again = some.at[left] + 2 * after + 1.0
            lost &= rng.random(len(left)) >= some.loss
            log.repeated += again[lost].tolist()
            heard = lost & (rng.random(len(left)) < (1 - some.loss) ** 2)
            ended[left[heard]] = (again + some.rtt[left])[heard]
            answered |= heard
        fates[left[answered]] = some.answers
        left = left[~answered]
        if not len(left):
            break
    return ended, fates


def by_cookie(traffic: list[Arrivals], rng: np.random.Generator) -> Log:
    """Cookies for everyone; as Playing.syn draws it for one."""
    log = Log()
    for each in traffic:
        log.syns += each.at.tolist()
        log.sent += each.at.tolist()
        if each.answers != CLIENT:
            continue
        left, at = np.arange(len(each.at)), each.at
        for attempt in range(4):
            lost = rng.random(len(left)) < each.loss
            done = at[~lost] + each.rtt[left[~lost]] + (rng.random(int((~lost).sum())) < each.loss)
            log.accepted += done.tolist()
            left, at = left[lost], at[lost] + 2.0**attempt
            if attempt == 3:
                break
            log.syns += at.tolist()
            log.sent += at.tolist()
    log.completed = list(log.accepted)
    return log


@dataclass(slots=True, kw_only=True)
class Scene:
    """What is seen: listeners with their traffic, sampled each second from `first` to `last`; `flood` when it began."""

    servers: list[tuple[Server, list[Arrivals]]]
    last: float = 60.0
    first: float = 0.0
    flood: float | None = None
    v6: bool = False


# --- sources and arrivals


def poisson(rng: np.random.Generator, rate: float, start: float, end: float) -> np.ndarray:
    """Arrivals at `rate` a second, in order."""
    return np.sort(rng.uniform(start, end, rng.poisson(rate * max(end - start, 0.0))))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def addresses(rng: np.random.Generator, count: int, lead: bytes = b"", size: int = 4) -> list[bytes]:
    """Random ones behind `lead`."""
    free = size - len(lead)
    raw = rng.bytes(free * count)
    return [lead + raw[index * free : (index + 1) * free] for index in range(count)]


def people(rng: np.random.Generator, count: int) -> list[bytes]:
    """Clients of the world: many networks, some of them large, several clients from one, a client several times."""
    known = max(min(count, 3000), 1)
    networks = addresses(rng, max(known // 3, 1), size=3)
    ranks = np.minimum(rng.zipf(1.3, known) - 1, len(networks) - 1).tolist()
    hosts = rng.integers(1, 255, known).tolist()
    pool = [networks[rank] + bytes([host]) for rank, host in zip(ranks, hosts, strict=True)]
    return [pool[index] for index in rng.integers(0, known, count).tolist()]


def clients(rng: np.random.Generator, at: np.ndarray, loss: float, rtt: float, spread: float = 0.5) -> Arrivals:
    """People, with round trips about `rtt` seconds (log-normal, none above 0.9 s)."""
    trips = np.minimum(rtt * np.exp(rng.normal(0, spread, len(at))), 0.9)
    return Arrivals(at, people(rng, len(at)), trips, loss)


def steady(rng: np.random.Generator, rate: float, start: float, end: float) -> Arrivals:
    """Normal traffic of a listener: loss 0 to 20 %, round trips 1 to 600 ms."""
    loss = float(rng.choice([0.0, 0.01, 0.05, 0.2])) * float(rng.random())
    rtt = between(rng, 0.001, 0.6)
    return clients(rng, poisson(rng, rate, start, end), loss, min(rtt, 0.6), spread=0.2 if rtt > 0.3 else 0.5)


def server(rng: np.random.Generator) -> Server:
    """Any limit, any policy."""
    return Server(limit=int(rng.choice(LIMITS)), cookies=str(rng.choice(["off", "pressure", "pressure", "always"])))


# --- innocent


def innocent(case: str, seed: int) -> Scene:
    """One minute of it, and the 10 s before."""
    rng = np.random.default_rng([seed, INNOCENT.index(case)])
    return MAKERS[case](rng)


def busy(rng: np.random.Generator) -> Scene:
    return Scene(servers=[(server(rng), [steady(rng, between(rng, 0.1, 10_000), -10, 60)])])


def crowd(rng: np.random.Generator) -> Scene:
    rate = between(rng, 0.1, 200)
    base = steady(rng, rate, -10, 60)
    begin, ramp = rng.uniform(5, 40), rng.uniform(0.0, 5.0)
    more = rate * between(rng, 10, 100)
    many = poisson(rng, more, begin, min(begin + rng.uniform(3, 20), 60))
    many = many[rng.random(len(many)) < np.clip((many - begin) / max(ramp, 1e-3), 0, 1)]
    return Scene(servers=[(server(rng), [base, clients(rng, many, base.loss, between(rng, 0.001, 0.6), 0.2)])])


def scan(rng: np.random.Generator) -> Scene:
    """Of all ports, of which 1 to 30 listen; each scanner asks each once or a few times."""
    listeners = []
    scanners = addresses(rng, int(rng.integers(1, 20)))
    answers = int(rng.choice([SILENT, RESETS]))
    number = int(rng.integers(1, 30))
    spans = [(rng.uniform(0, 50), between(rng, 0.2, 30)) for _ in scanners]
    for _ in range(number):
        times = [(start + rng.random() * length, who) for who, (start, length) in zip(scanners, spans, strict=True)]
        times = sorted((at, who) for at, who in times * int(rng.integers(1, 3)) if at < 60)
        at = np.array([at for at, _ in times])
        asked = Arrivals(at, [who for _, who in times], np.full(len(times), between(rng, 0.001, 0.3)), 0.0, answers)
        listeners.append((server(rng), [steady(rng, between(rng, 0.1, 10), -10, 60), asked]))
    return Scene(servers=listeners)


def lossy(rng: np.random.Generator) -> Scene:
    at = poisson(rng, between(rng, 0.5, 50), -40, 60)
    who = addresses(rng, int(rng.integers(1, 4)))
    remote = [who[index] for index in rng.integers(0, len(who), len(at))]
    behind = Arrivals(at, remote, np.full(len(at), between(rng, 0.005, 0.6)), rng.uniform(0.2, 0.5))
    return Scene(servers=[(server(rng), [steady(rng, between(rng, 0.1, 100), -10, 60), behind])])


def slow(rng: np.random.Generator) -> Scene:
    at = poisson(rng, between(rng, 0.1, 1000), -10, 60)
    return Scene(servers=[(server(rng), [clients(rng, at, rng.uniform(0, 0.2), rng.uniform(0.3, 0.6), 0.3)])])


def restart(rng: np.random.Generator) -> Scene:
    """Nobody answers for some seconds (or the program begins now), then all clients come back at once."""
    number = int(between(rng, 20, 5000))
    begin = rng.uniform(5, 30)
    back = np.sort(begin + rng.exponential(between(rng, 0.1, 5.0), number))
    again = clients(rng, back, rng.uniform(0, 0.2), between(rng, 0.001, 0.6), 0.3)
    return Scene(servers=[(server(rng), [again, steady(rng, between(rng, 0.1, 100), begin, 60)])])


def checks(rng: np.random.Generator) -> Scene:
    """Load balancers that ask with half a handshake: most end it by RST, some not at all."""
    traffic = [steady(rng, between(rng, 0.1, 100), -10, 60)]
    net = addresses(rng, 1, size=3)[0]
    silent = bool(rng.random() < 0.3)
    for host in range(int(rng.integers(1, 4 if silent else 12))):
        every = rng.uniform(5, 30) if silent else between(rng, 0.5, 30)
        at = np.arange(rng.uniform(-63, -63 + every), 60, every)
        who = [net + bytes([host + 1])] * len(at)
        traffic.append(Arrivals(at, who, np.full(len(at), between(rng, 0.0005, 0.05)), 0.0, SILENT if silent else RESETS))
    return Scene(servers=[(server(rng), traffic)])


def slow_server(rng: np.random.Generator) -> Scene:
    rate = between(rng, 5, 300)
    where = replace(server(rng), accept_limit=int(rng.choice([5, 16, 128])), accept_rate=rate * rng.uniform(0.05, 0.8))
    if rng.random() < 0.4:
        begin = rng.uniform(5, 30)
        where = replace(where, accept_rate=rate * 2, stall=(begin, begin + rng.uniform(3, 30)))
    return Scene(servers=[(where, [steady(rng, rate, -10, 60)])])


def idle(rng: np.random.Generator) -> Scene:
    at = np.sort(rng.uniform(-50, 60, int(rng.integers(1, 7))))
    strays = Arrivals(at, addresses(rng, len(at)), np.full(len(at), 0.1), 0.0, SILENT)
    return Scene(servers=[(server(rng), [strays, steady(rng, 0.05, -10, 60)])])


MAKERS: Final = dict(zip(INNOCENT, (busy, crowd, scan, lossy, slow, restart, checks, slow_server, idle), strict=True))


# --- floods


def flood(case: str, seed: int) -> Scene:
    """Twelve seconds, in which the flood begins anywhere in the sixth and lasts; ten times the normal rate or more."""
    rng = np.random.default_rng([seed, 100 + FLOODS.index(case)])
    begin = rng.uniform(5, 6)
    normal = between(rng, 0.1, 300)
    rate = max(normal * between(rng, 10, 100), 30.0)
    rate = min(rate, 20_000.0)
    if case == "answered by reset":
        rate = max(rate, 200.0)  # below, nothing piles up: health checks do as much
    if case == "among clients":
        normal = between(rng, 50, 500)
        rate = normal * rng.uniform(10, 20)
    at = poisson(rng, rate, begin, 12)
    fixed = {"one /16": 2, "one /24": 3, "one v6 prefix": 6, "one host": 4}.get(case, 0)  # bytes that all share
    lead = b"\x20" if case == "random v6" else rng.bytes(fixed)
    remote = addresses(rng, len(at), lead, 16 if "v6" in case else 4)
    answers = RESETS if case == "answered by reset" else SILENT
    forged = Arrivals(at, remote, np.full(len(at), between(rng, 0.01, 0.3)), 0.0, answers)
    return Scene(servers=[(server(rng), [steady(rng, normal, -10, 12), forged])], last=12.0, flood=begin, v6="v6" in case)


def slow_flood(seed: int) -> Scene:
    """Two minutes of just so much from random sources that the queue fills: a quarter more than its entries live."""
    rng = np.random.default_rng([seed, 200])
    where = Server(limit=int(rng.choice([128, 256, 511])), cookies="off")
    at = poisson(rng, 1.25 * where.limit / LIFE, 5, 120)
    forged = Arrivals(at, addresses(rng, len(at)), np.full(len(at), 0.1), 0.0, SILENT)
    return Scene(servers=[(where, [steady(rng, between(rng, 0.1, 20), -10, 120), forged])], last=120.0, flood=5.0)


# --- what is seen of a scene


def samples(scene: Scene, seed: int) -> list[Sample]:
    """The scene as a running synfin shows it, one sample a second."""
    rng = np.random.default_rng([seed, 300])
    made = [Playing(where, rng).play(traffic, scene.last) for where, traffic in scene.servers]
    ticks = np.arange(scene.first, scene.last + 0.5)
    columns = [
        listener_samples(log, where, 80 + index, ticks)
        for index, (log, (where, _)) in enumerate(zip(made, scene.servers, strict=True))
    ]
    return [
        Sample(at=int(tick * SECOND) + 100 * SECOND, source="synfin", listeners=tuple(column[row] for column in columns))
        for row, tick in enumerate(ticks)
    ]


KERNEL_KEEPS: Final = ("completed", "cookies_sent", "cookies_accepted", "syn_queue_drops", "accept_queue_drops", "resets")


def seen_by(source: str, sample: Sample) -> Sample:
    """What the kernel shows of it (counts of all listeners together, no SYNs), or a bare table (no counts, no limits)."""
    if source == "synfin":
        return sample
    listeners = tuple(replace(each, counts=Counts()) for each in sample.listeners)
    if source == "table":
        return replace(sample, source=source, listeners=tuple(replace(each, half_open_limit=None) for each in listeners))
    totals = Counts(**{name: sum(getattr(each.counts, name) for each in sample.listeners) for name in KERNEL_KEEPS})
    return replace(sample, source=source, listeners=listeners, totals=totals)


def listener_samples(log: Log, where: Server, port: int, ticks: np.ndarray) -> list[ListenerSample]:
    """One listener at every tick."""
    begun, ended = np.array(log.begun), np.array(log.ended)
    counters = counted(log, begun, ended, ticks)
    order = np.argsort(begun, kind="stable")
    first = np.searchsorted(begun[order], ticks - LIFE - 1)
    behind = np.searchsorted(begun[order], ticks, side="right")
    waiting = [each[0] for each in log.waiting]
    found = []
    for row, tick in enumerate(ticks.tolist()):
        some = order[first[row] : behind[row]]
        alive = some[ended[some] > tick]
        ages = tick - begun[alive]
        syn_acks = np.searchsorted(ATTEMPTS, ages, side="right").tolist()
        entries = tuple(
            HalfOpenEntry(ANY, port, log.remote[index], log.port[index], age, sent)
            for index, age, sent in zip(alive.tolist(), (ages * SECOND).astype(int).tolist(), syn_acks, strict=True)
        )
        queue = log.waiting[int(np.searchsorted(waiting, tick, side="right")) - 1][1] if waiting and waiting[0] <= tick else 0
        found.append(
            ListenerSample(
                address=ANY, port=port, half_open=len(entries), half_open_limit=where.limit,
                accept_queue=queue, accept_limit=where.accept_limit, entries=entries,
                counts=Counts(**{name: int(values[row]) for name, values in counters.items()}),
            )
        )  # fmt: skip
    return found


def counted(log: Log, begun: np.ndarray, ended: np.ndarray, ticks: np.ndarray) -> dict[str, np.ndarray]:
    """The cumulative counts at every tick."""

    def until(times: list[float] | np.ndarray) -> np.ndarray:
        return np.searchsorted(np.sort(np.asarray(times, dtype=float)), ticks, side="right")

    repeats = sum((until((begun + after)[begun + after < ended]) for after in ATTEMPTS[1:]), np.zeros(len(ticks), dtype=int))
    nothing = np.zeros(len(ticks), dtype=int)
    return {
        "syns": until(log.syns) + until(log.repeated), "completed": until(log.completed), "cookies_sent": until(log.sent),
        "cookies_accepted": until(log.accepted), "syn_queue_drops": until(log.queue_drops), "resets": until(log.resets),
        "accept_queue_drops": until(log.accept_drops), "syn_ack_repeats": repeats + until(log.repeated),
        "expired": until(ended[ended - begun >= LIFE - 1e-6]), "cookies_refused": nothing, "evicted": nothing,
    }  # fmt: skip

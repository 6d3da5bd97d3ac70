"""Every block that is sent, against a model of RFC 2018 4 and RFC 2883 4 that knows nothing of runs, windows or timers.

The model keeps a set of numbers and a list of reports. Streams come in any order, in pieces that overlap, again and again.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, FIN, SYN, Outgoing
from synfin.wire.tcpoptions import build_options
from tests.engine.harness import A_KEY, PLAIN, SECOND, End
from tests.rfc.build import FULL, ISS, Watch, peer
from tests.rfc.sacking import text

LENGTH = 400  # bytes of the stream; the FIN is behind them
Range = tuple[int, int]


@dataclass
class Model:
    """What was received of places 0 to LENGTH, which is the FIN's, and which blocks have been reported, the latest first."""

    dsack: bool
    have: set[int] = field(default_factory=set)
    acked: int = 0
    reported: list[Range] = field(default_factory=list)

    def runs(self) -> list[Range]:
        """What lies beyond the first gap: all that lies together, in order; a FIN alone is no run."""
        found: list[Range] = []
        for place in sorted(self.have):
            if place < self.acked:
                continue
            if found and found[-1][1] == place:
                found[-1] = (found[-1][0], place + 1)
            elif place != LENGTH:
                found.append((place, place + 1))
        return found

    def take(self, start: int, end: int, fin: bool) -> tuple[Range | None, bool]:
        """A segment arrives. What of it is a duplicate, and whether it moves the ACK field."""
        before = self.acked
        twice = [place for place in range(start, end) if place in self.have]
        if fin and before > LENGTH:
            twice.append(LENGTH)
        duplicate = None
        if twice:
            last = twice[0]
            while last + 1 in twice:
                last += 1
            duplicate = (twice[0], last + 1)
        self.have.update(range(start, end))
        if fin:
            self.have.add(LENGTH)
        while self.acked in self.have:
            self.acked += 1
        return duplicate, self.acked != before

    def expected(self, start: int, end: int, fin: bool, most: int) -> list[Range] | None:
        """The blocks of the ACK that answers a segment, None where it may come later."""
        empty_before = not self.runs()
        duplicate, moved = self.take(start, end, fin)
        runs = self.runs()
        blocks: list[Range] = []
        if duplicate and self.dsack:
            blocks.append(duplicate)
        beyond = start >= self.acked
        first = [run for run in runs if beyond and (run[0] <= start < run[1] or run[0] <= end - 1 < run[1])]
        if beyond and start == end and fin:  # a FIN alone
            first = [run for run in runs if run[1] == LENGTH + 1] or [(LENGTH, LENGTH + 1)]
        order = first + [self._grown(block, runs) for block in self.reported]
        order = [run for run in order if run is not None and (run in runs or run in first)]
        unique = list(dict.fromkeys(order + runs[::-1]))
        self.reported = [run for run in unique if run in runs]
        if moved and empty_before and not blocks:
            return None
        return (blocks + unique)[:most]

    @staticmethod
    def _grown(block: Range, runs: list[Range]) -> Range | None:
        """The run that a block which was reported earlier lies in now."""
        return next((run for run in runs if run[0] <= block[0] and block[1] <= run[1]), None)


def opened(config: TcpConfig, irs: int) -> End:
    one = End(A_KEY, ISS, config, Watch())
    one.connection.connect(0)
    one.out()
    one.take(peer(one, SYN | ACK, irs, ISS + 1))
    return one


def places(out: Outgoing, irs: int) -> list[Range]:
    """The blocks as places."""
    return [((left - irs - 1) & 0xFFFFFFFF, (right - irs - 1) & 0xFFFFFFFF) for left, right in out.sacks]


PIECES = st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, 60), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=250, deadline=None)
@given(
    pieces=PIECES,
    stamped=st.booleans(),
    dsack=st.booleans(),
    fast=st.booleans(),
    irs=st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFFFFF - LENGTH, 0xFFFFFFFF)),
)
def test_every_block_is_what_a_model_of_the_rfcs_says(
    pieces: list[tuple[int, int, bool]], stamped: bool, dsack: bool, fast: bool, irs: int
) -> None:
    config = (FULL if stamped else PLAIN).replace(sack=True, dsack=dsack, delayed_ack=0, fast_path=fast)
    one = opened(config, irs)
    model = Model(dsack)
    most = 3 if stamped else 4
    ended = False
    for start, size, fin in pieces:
        end = min(start + size, LENGTH)
        fin = fin and end == LENGTH
        if start == end and not fin:
            continue
        expected = model.expected(start, end, fin, most)
        flags = ACK | (FIN if fin else 0)
        segment = peer(one, flags, irs + 1 + start, ISS + 1, payload=text(start, end))
        one.connection.receive(segment, one.now)
        sent = one.out()
        if ended:
            assert all(out.ack == (irs + 1 + model.acked) & 0xFFFFFFFF for out in sent)
        assert len(sent) == 1
        (out,) = sent
        assert out.ack == (irs + 1 + model.acked) & 0xFFFFFFFF
        assert len(build_options(out)) <= 40
        assert places(out, irs) == (expected or [])
        ended = model.acked > LENGTH
    assert one.connection.read(1 << 20, 0) == text(0, min(model.acked, LENGTH))
    assert (one.connection.receiver.reassembly is None) is not bool([run for run in model.runs() if run[0] != LENGTH])


@settings(max_examples=100, deadline=None)
@given(
    pieces=PIECES, writes=st.lists(st.integers(0, 3000), min_size=40, max_size=40), stamped=st.booleans(),
    mss=st.integers(40, 1460), gso=st.sampled_from([0, 9000]),
)  # fmt: skip
def test_whatever_leaves_tells_only_of_what_is_held_and_fits(
    pieces: list[tuple[int, int, bool]], writes: list[int], stamped: bool, mss: int, gso: int
) -> None:
    """With data of our own on its way, and several segments heard before anything leaves."""
    config = (FULL if stamped else PLAIN).replace(sack=True)
    one = opened(config, 300)
    c = one.connection
    c.set_option("mss", mss, 0)
    c.sender.gso_max = gso
    model = Model(True)
    for at, ((start, size, wait), count) in enumerate(zip(pieces, writes, strict=False)):
        end = min(start + size, LENGTH)
        if start == end:
            continue
        model.take(start, end, False)
        c.receive(peer(one, ACK, 301 + start, c.sender.snd_nxt, payload=text(start, end)), one.now)
        c.write(bytes(count), one.now)
        if wait and at + 1 < len(pieces):
            continue
        one.now += SECOND // 100
        runs = model.runs()
        for out in one.out():
            told = places(out, 300)
            size = min(len(out.payload), out.gso_size or len(out.payload))
            assert len(build_options(out)) <= 40
            assert not size or size + (4 + 8 * len(told) if told else 0) <= c.sender.mss
            again = len(told) > 0 and (told[0] not in runs or told[0] in told[1:])
            if again:
                assert not size, "a duplicate is told of by an ACK of its own"
                assert set(range(*told[0])) <= model.have
            held = told[again:]
            assert len(dict.fromkeys(held)) == len(held)
            assert all(run in runs for run in held)
            if not size or c.sender.mss >= 88:
                assert len(held) == min(len(runs), (3 if stamped else 4) - again)
        assert c.sender.mss <= mss

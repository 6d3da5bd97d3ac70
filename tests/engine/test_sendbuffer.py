"""The send buffer that remembers writes: for TcpConfig.push = "write"."""

from hypothesis import given
from hypothesis import strategies as st

from synfin.engine.sendbuffer import MarkedBuffer, SendBuffer

steps = st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.floats(0, 1)), max_size=40)


@given(steps)
def test_the_ends_of_writes_are_known_until_they_are_acknowledged(steps: list[tuple[int, bool, float]]) -> None:
    marked, plain = MarkedBuffer(7), SendBuffer(7)
    written, gone, ends = 0, 0, set()
    for count, more, part in steps:
        for buffer in (marked, plain):
            buffer.append(bytes(count), more)
        written += count
        if not more:
            ends.add(written)
        drop = int(part * (written - gone))
        if drop:
            gone += drop
            for buffer in (marked, plain):
                buffer.drop(drop)
        assert (marked.base, marked.size) == (plain.base, plain.size) == (7 + gone, written - gone)
        places = {*ends, *(end - 1 for end in ends), *(end + 1 for end in ends)}
        for place in places:
            if place > gone:
                assert marked.ends_write(place - gone) == (place in ends)
        assert len(marked._ends) == sum(end > gone for end in ends)

"""The Internet checksum against RFC 1071's example and a loop written by its letter."""

import array
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.wire.checksum import checksum, ones_complement_sum, pseudo_header_sum
from tests.wire.vectors import pseudo_header, slow_sum


class FakeNumpy(SimpleNamespace):
    """As much of numpy as checksum uses, so that its branch is tested where numpy is not installed."""

    def frombuffer(self, buffer: bytes, kind: str, count: int) -> SimpleNamespace:
        assert kind == "<u4"
        words = array.array("I", bytes(buffer[: 4 * count]))
        if sys.byteorder == "big":
            words.byteswap()
        return SimpleNamespace(sum=lambda dtype: sum(words))


def test_the_example_of_rfc_1071_has_the_sum_that_stands_there() -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert (ones_complement_sum(data), checksum(data)) == (0xDDF2, 0x220D)


@pytest.mark.parametrize(
    ("data", "total"),
    [("", 0), ("0000", 0), ("ffff", 0xFFFF), ("ffff0000", 0xFFFF), ("ffff0001", 1), ("01", 0x100), ("0000ff", 0xFF00)],
)
def test_only_nothing_but_zeros_adds_up_to_zero(data: str, total: int) -> None:
    assert ones_complement_sum(bytes.fromhex(data)) == total


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_the_sum_is_that_of_the_loop_over_words(data: bytes, initial: int) -> None:
    assert ones_complement_sum(data, initial) == slow_sum(initial.to_bytes(6, "big") + data)
    assert ones_complement_sum(memoryview(bytearray(data)), initial) == ones_complement_sum(data, initial)


@given(st.integers(0, 1500), st.integers(1, 255), st.integers(0, 0xFFFFFF))
def test_numpy_gives_the_same_sum_where_the_program_has_imported_it(size: int, step: int, initial: int) -> None:
    data = bytes(step * n & 0xFF for n in range(1024 + size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy", None)
        expected = ones_complement_sum(data, initial)
        patch.setitem(sys.modules, "numpy", FakeNumpy())
        assert ones_complement_sum(data, initial) == expected
        assert ones_complement_sum(bytes(len(data)), 0) == 0
        assert ones_complement_sum(b"\xff" * len(data), 0) == (0xFFFF if len(data) % 2 == 0 else 0xFF00)


def test_the_real_numpy_gives_the_same_sum() -> None:
    pytest.importorskip("numpy", reason="numpy is not installed")
    data = bytes(n * 37 & 0xFF for n in range(4099))
    assert [ones_complement_sum(data[:size]) for size in range(1024, 4099, 7)] == [
        slow_sum(data[:size]) for size in range(1024, 4099, 7)
    ]


@given(st.sampled_from((4, 16)), st.data(), st.integers(20, 65535))
def test_the_pseudo_header_adds_up_as_its_bytes_do(size: int, data: st.DataObject, length: int) -> None:
    source, destination = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    total = pseudo_header_sum(source, destination, length)
    assert ones_complement_sum(b"", total) == slow_sum(pseudo_header(source, destination, length))

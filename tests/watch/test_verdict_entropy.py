"""How random sources are: the estimator against what is known of its input."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin.watch.entropy import entropy, network, randomness, sources, unmapped


def drawn(count: int, size: int = 4, lead: bytes = b"", seed: int = 0) -> list[bytes]:
    draw = random.Random(seed)
    return [lead + draw.randbytes(size - len(lead)) for _ in range(count)]


def test_entropy_of_one_kind_is_none_and_of_even_kinds_their_logarithm() -> None:
    assert entropy([]) == 0.0
    assert entropy([7]) == 0.0
    assert entropy([1000] * 8) == pytest.approx(3.0, abs=0.001)


@pytest.mark.parametrize("count", [30, 100, 300])
def test_the_correction_brings_small_samples_nearer_to_the_truth(count: int) -> None:
    truth, plain, corrected = 4.0, 0.0, 0.0  # sixteen even kinds
    for seed in range(200):
        draw = random.Random(seed)
        tally = [0] * 16
        for _ in range(count):
            tally[draw.randrange(16)] += 1
        seen = [number for number in tally if number]
        corrected += entropy(seen) / 200
        plain += (entropy(seen) - (len(seen) - 1) / (2 * count * 0.6931471805599453)) / 200
    assert abs(corrected - truth) < abs(plain - truth) / 2


@pytest.mark.parametrize("count", [8, 30, 300, 5000])
@pytest.mark.parametrize("size", [4, 16])
def test_random_addresses_are_random_however_few_they_are(count: int, size: int) -> None:
    assert all(randomness(drawn(count, size, seed=seed)) > 0.9 for seed in range(20))


@pytest.mark.parametrize(("lead", "bits"), [(b"\x0a\x01", 16), (b"\x0a\x01\x02", 24), (b"\x0a\x01\x02\x03", 32)])
def test_addresses_of_one_network_are_not_and_it_is_named(lead: bytes, bits: int) -> None:
    seen = sources(drawn(200, lead=lead), 0.6)
    assert seen is not None
    assert seen.randomness < 0.1
    assert seen.network == (lead + bytes(4 - len(lead)), bits)
    assert seen.share == 1.0


def test_a_network_is_named_among_other_sources_when_it_holds_enough() -> None:
    seen = sources(drawn(70, lead=b"\x0a\x01") + drawn(30), 0.6)
    assert seen is not None
    assert seen.network == (b"\x0a\x01\x00\x00", 16)
    assert seen.share == pytest.approx(0.7, abs=0.01)


def test_nothing_is_said_of_no_sources() -> None:
    assert sources([], 0.6) is None
    assert randomness([b"abcd"]) == 0.0


def test_mapped_addresses_are_those_they_map() -> None:
    mapped = bytes(10) + b"\xff\xff" + b"\x0a\x01\x02\x03"
    assert unmapped(mapped) == b"\x0a\x01\x02\x03"
    assert network(b"\x0a\x01\x02\x03") == b"\x0a\x01\x02"
    assert len(network(bytes(16))) == 6


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=60))
def test_randomness_and_share_lie_between_0_and_1_and_order_does_not_matter(addresses: list[bytes]) -> None:
    seen = sources(addresses, 0.6)
    assert seen is not None
    assert 0 <= seen.randomness <= 1
    assert 0 < seen.share <= 1
    assert sources(list(reversed(addresses)), 0.6) == seen

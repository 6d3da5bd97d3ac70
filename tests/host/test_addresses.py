"""Which addresses the TUNs of a namespace have."""

import pytest

from synfin.host.addresses import plan


def test_the_first_tun_has_the_addresses_that_the_readme_names() -> None:
    assert plan(0) == ("synfin0", ("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2"))


def test_each_further_tun_has_networks_of_its_own() -> None:
    assert plan(1) == ("synfin1", ("10.77.1.1", "fd77:0:0:1::1"), ("10.77.1.2", "fd77:0:0:1::2"))
    assert plan(255).ours == ("10.77.255.2", "fd77:0:0:ff::2")


@pytest.mark.parametrize("number", [-1, 256])
def test_there_are_no_others(number: int) -> None:
    with pytest.raises(ValueError, match="a namespace has TUNs 0 to 255"):
        plan(number)

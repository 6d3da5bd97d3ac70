"""What the tests of channels share: the grounds as fixtures.

`ground` runs a test on all three, `carrier` is the same under the name that exchange, direction and liveness use.
"""

from collections.abc import Iterator

import pytest

from tests.channels.grounds import Ground, KernelGround, SimGround, tun_ground

TUN = pytest.param("tun", marks=[pytest.mark.needs("netns"), pytest.mark.xdist_group("netns")])


@pytest.fixture(params=["kernel", "sim", TUN])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The kernel's loopback, the simulation, TUNs; one after the other."""
    if request.param == "kernel":
        yield KernelGround()
    elif request.param == "sim":
        yield SimGround()
    else:
        with tun_ground() as made:
            yield made


@pytest.fixture
def carrier(ground: Ground) -> Ground:
    """See `ground`."""
    return ground

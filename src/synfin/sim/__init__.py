"""The simulated network: hosts, links and programs in virtual time, decided by a seed."""

from synfin.sim.host import SimHost as Host
from synfin.sim.link import Link
from synfin.sim.world import World

__all__ = ["Host", "Link", "World"]

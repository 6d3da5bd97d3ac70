"""The simulated network: hosts, links and programs in virtual time, decided by a seed."""

from synfin.engine.errors import UsageError
from synfin.sim.host import SimHost as Host
from synfin.sim.link import Link
from synfin.sim.runner import run
from synfin.sim.tasks import Deadlock
from synfin.sim.threadpatches import run_blocking, world_threads
from synfin.sim.world import World

__all__ = ["Deadlock", "Host", "Link", "UsageError", "World", "run", "run_blocking", "world_threads"]

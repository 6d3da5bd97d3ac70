"""The experiments: what `synfin lab NAME` measures, in the order in which `--list` shows them. Owns the register alone."""

from typing import Final

from synfin.lab.duplex import DUPLEX
from synfin.lab.heartbeat import HEARTBEAT
from synfin.lab.longshort import LONG_OR_SHORT
from synfin.lab.parts import Lab
from synfin.lab.pipelining import PIPELINING
from synfin.lab.pool import POOL
from synfin.lab.ports import PORTS_LAB

LABS: Final[dict[str, Lab]] = {each.name: each for each in (LONG_OR_SHORT, HEARTBEAT, PIPELINING, POOL, PORTS_LAB, DUPLEX)}

__all__ = ["LABS", "Lab"]

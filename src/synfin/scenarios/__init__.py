"""The scenarios: every story that `synfin demo NAME` plays, in the order in which `--list` shows them.

Owns the register alone. A scenario is a Scenario (stage.py): a name, a title, and a function that sets the stage. A study
(study.py) compares several runs.
"""

from typing import Final

from synfin.scenarios.closing import CLOSING
from synfin.scenarios.data import DATA, LIFE
from synfin.scenarios.failures import FAILURES
from synfin.scenarios.flooding import STUDIES as FLOODING
from synfin.scenarios.opening import OPENING
from synfin.scenarios.stage import Scenario
from synfin.scenarios.study import Study

DEFAULT: Final = "whole-life"

SCENARIOS: Final[dict[str, Scenario]] = {each.name: each for each in (*LIFE, *OPENING, *DATA, *CLOSING, *FAILURES)}

STUDIES: Final[dict[str, Study]] = {each.name: each for each in (*FLOODING,)}

__all__ = ["DEFAULT", "SCENARIOS", "STUDIES", "Scenario", "Study"]

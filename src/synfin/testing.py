"""For pytest: many seeds for one test, and what to know about the simulated runs of a test that fails.

Owns nothing of a run. pytest loads it as a plugin where synfin is installed; where plugins are not loaded by themselves
(PYTEST_DISABLE_PLUGIN_AUTOLOAD), `-p synfin.testing` does, or `pytest_plugins = ["synfin.testing"]` in a conftest.py. It adds
the seed, the command that replays it and the files to a test that fails after its run has ended; a failure inside of
`synfin.sim.run` says so without a plugin.
"""

import os
from collections.abc import Generator

import pytest

from synfin.sim.failure import RUNS, SEED, chosen_seed, explain, is_failure
from synfin.sim.world import World


def seeds(count: int, first: int = 0) -> pytest.MarkDecorator:
    """Run the test once for each of `count` seeds from `first` on, as its argument `seed`:

        @seeds(50)
        def test_survives(seed):
            synfin.sim.run(main, seed=seed)

    With SYNFIN_SEED in the environment, for that seed alone.
    """
    chosen = [chosen_seed(None)] if os.environ.get(SEED) else list(range(first, first + count))
    return pytest.mark.parametrize("seed", chosen)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Explains the last run of a test that fails."""
    runs: list[tuple[World, bool]] = []
    token = RUNS.set(runs)
    try:
        return (yield)
    except BaseException as error:
        if runs and is_failure(error):
            explain(error, *runs[-1])
        raise
    finally:
        RUNS.reset(token)

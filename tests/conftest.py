"""What every test may use: markers for things a machine may lack, and a clean environment for subprocesses.

Owns the rule on skipping: a skip always has a reason, and one that names something in SYNFIN_CI_REQUIRE (for example
`tshark,netns`, set by .ci/run) is a failure, because CI has installed it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What a run under `make` or pytest leaves in the environment and a fresh shell would not have.
FOREIGN = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTHON")


def missing(need: str) -> str:
    """Why `need` (`netns` or the name of a program) is not to be had here; empty when it is."""
    if need != "netns":
        return "" if shutil.which(need) else f"{need} is not installed"
    for reason, lacking in (
        ("netns: needs root", os.geteuid() != 0),
        ("netns: the program ip (iproute2) is not installed", shutil.which("ip") is None),
        ("netns: there is no /dev/net/tun", not Path("/dev/net/tun").exists()),
    ):
        if lacking:
            return reason
    probe = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    return "" if probe.returncode == 0 else f"netns: {probe.stderr.strip()}"


def required() -> list[str]:
    """The needs that must not be missing in this run."""
    return [need for need in os.environ.get("SYNFIN_CI_REQUIRE", "").split(",") if need]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): skip where a program, or `netns`, is missing")
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that: some tests are about Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for need in marker.args:
            reason = missing(need)
            if reason:
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    broken = [need for need in required() if need in reason]
    if broken or reason in {"Skipped", "Skipped: ", "Skipped: unconditional skip"}:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but {broken or 'a reason'} is required here: {reason}"
    return report


@pytest.fixture
def checkout_to_itself() -> Iterator[None]:
    """No other test with this fixture runs meanwhile, in any worker: what runs `make` in the checkout writes its files."""
    with (ROOT / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def shell_environment() -> dict[str, str]:
    """The environment of a fresh shell in the checkout, in English: nothing of make, pytest or an activated .venv."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    own = str(Path(sys.executable).parent)
    paths = [path for path in environment.get("PATH", os.defpath).split(os.pathsep) if path != own]
    environment["PATH"] = os.pathsep.join(paths)
    environment.pop("VIRTUAL_ENV", None)
    environment.pop("PYTHONPATH", None)
    environment["LC_ALL"] = "C.UTF-8"
    return environment

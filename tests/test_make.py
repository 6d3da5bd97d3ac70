"""`make` on machines of all kinds: which Python it takes, what it says when something is missing, how quiet it is.

The machines are made of fake programs on a PATH of their own. The last tests run the real `make demo` of this checkout.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.needs("make"), pytest.mark.usefixtures("checkout_to_itself")]

SHIM = "#!/bin/sh\necho 'pyenv: {name}: command not found' >&2\nexit 127\n"

# Answers the questions of tools/venv.sh: the version, whether ensurepip is there, `-m venv`, and in .venv `-m pip`.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
*version_info?0?*) echo {number} ;;
*version_info*) echo {version} ;;
*ensurepip*) exit {ensurepip} ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0.synfin" .venv/bin/synfin; exit {venv} ;;
*"import pip"*) exit 0 ;;
*"-m pip"*) {pip} ;;
*tomllib*) echo 'hatchling, click' ;;
*) exit 9 ;;
esac
"""


class Machine:
    """A checkout of the Makefile alone, in a directory with a space in its name, and a PATH of chosen Pythons."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.checkout = folder / "a check out"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.checkout / "tools").mkdir(parents=True)
        for name in ("Makefile", "tools/venv.sh", "pyproject.toml"):
            shutil.copy(ROOT / name, self.checkout / name)
        for program in ("sh", "mkdir", "rm", "cp", "touch", "grep", "tail", "make", "sleep"):
            found = shutil.which(program)
            assert found is not None, program
            (self.bin / program).symlink_to(found)
        self.environment = {**environment, "PATH": str(self.bin)}

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def shim(self, name: str) -> None:
        """A name on PATH whose program is not there, as pyenv leaves for versions that are not selected."""
        self.program(name, SHIM.format(name=name))

    def python(
        self, name: str, minor: int, *, ensurepip: int = 0, venv: int = 0, pip: str = "exit 0", synfin: str = "echo drawn"
    ) -> None:
        """A Python 3.`minor`; `ensurepip` and `venv` are exit statuses, `pip` and `synfin` what those in .venv do."""
        facts = {"number": 3000 + minor, "version": f"3.{minor}", "ensurepip": ensurepip, "venv": venv, "pip": pip}
        self.program(name, FAKE_PYTHON.format(**facts))
        self.program(f"{name}.synfin", f"#!/bin/sh\n{synfin}\n")

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments], cwd=self.checkout, env=self.environment, check=False, capture_output=True, text=True
        )

    def interrupted(self) -> tuple[int, str]:
        """Exit status and stderr of a `make demo` that gets a Ctrl-C once something has written the file `started`."""
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=self.checkout, env=self.environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        for _ in range(200):
            if (self.checkout / "started").exists():
                break
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=10)
        return process.returncode, said

    def told(self, result: subprocess.CompletedProcess[str]) -> list[str]:
        """What was said on stderr, apart from make's own last line."""
        return [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]

    @property
    def has_venv(self) -> bool:
        return (self.checkout / ".venv").exists()


@pytest.fixture
def machine(tmp_path: Path, shell_environment: dict[str, str]) -> Machine:
    return Machine(tmp_path, shell_environment)


def test_a_shim_that_fails_is_passed_over_silently(machine: Machine) -> None:
    machine.shim("python3.13")
    machine.shim("python3.12")
    machine.python("python3.11", 11)
    result = machine.make("demo")
    assert machine.told(result) == [
        "synfin: making .venv with Python 3.11, once",
        "synfin: installing synfin[cli,net] into .venv",
    ]
    assert (result.returncode, result.stdout) == (0, "drawn\n")


def test_the_newest_python_is_taken_whatever_its_name(machine: Machine) -> None:
    machine.python("python3.11", 11)
    machine.python("python3", 14)
    machine.python("python3.12", 12)
    assert machine.told(machine.make("demo"))[0] == "synfin: making .venv with Python 3.14, once"


def test_a_python_that_is_too_old_is_not_taken(machine: Machine) -> None:
    machine.python("python3", 10)
    result = machine.make("demo")
    assert result.returncode == 2
    assert machine.told(result) == [
        "synfin: no Python 3.11 or newer among: python3.13 python3.12 python3.11 python3;"
        " install python3.11 (Debian: apt install python3 python3-venv)"
    ]
    assert not machine.has_venv


def test_the_user_may_name_the_interpreter(machine: Machine) -> None:
    machine.python("python3.13", 13)
    machine.python("my-python", 12)
    assert machine.told(machine.make("demo", "PYTHON=my-python"))[0] == "synfin: making .venv with Python 3.12, once"


@pytest.mark.parametrize("broken", [{"ensurepip": 1}, {"venv": 1}], ids=["no module", "venv fails"])
def test_without_ensurepip_one_line_says_what_to_install(machine: Machine, broken: dict[str, int]) -> None:
    machine.python("python3.11", 11, **broken)
    result = machine.make("demo")
    assert (result.returncode, result.stdout) == (2, "")
    assert machine.told(result)[1:] == [
        "synfin: python3.11 cannot make a virtual environment (no ensurepip):"
        " install python3.11-venv (Debian: apt install python3-venv)"
    ]
    assert not machine.has_venv


NO_NETWORK = "echo 'ERROR: No matching distribution found for hatchling'; exit 1"


def test_without_a_network_one_line_says_so_and_nothing_half_made_stays(machine: Machine) -> None:
    machine.python("python3.11", 11, pip=NO_NETWORK)
    result = machine.make("test")
    assert (result.returncode, result.stdout) == (2, "")
    assert machine.told(result)[2:] == [
        "synfin: no network? pip cannot download what synfin[cli,net,test,lint] needs installed: hatchling, click"
        " (its own words: out/setup.log)"
    ]
    assert not machine.has_venv
    assert "No matching distribution" in (machine.checkout / "out/setup.log").read_text()


def test_another_failure_of_pip_is_told_in_its_own_last_line(machine: Machine) -> None:
    machine.python("python3.11", 11, pip="echo first; echo 'ERROR: No space left on device'; echo; exit 1")
    assert machine.told(machine.make("demo"))[2:] == [
        "synfin: pip could not install synfin[cli,net]: ERROR: No space left on device (all of it: out/setup.log)"
    ]


def test_a_venv_that_was_whole_survives_a_failing_install(machine: Machine) -> None:
    machine.python("python3.11", 11)
    assert machine.make("demo").returncode == 0
    machine.python("python3.11", 11, pip=NO_NETWORK)
    shutil.copy(machine.bin / "python3.11", machine.checkout / ".venv/bin/python")
    assert machine.make("test").returncode == 2
    assert machine.has_venv


def test_the_second_run_makes_nothing_until_pyproject_changes(machine: Machine) -> None:
    machine.python("python3.11", 11)
    machine.make("demo")
    assert machine.told(machine.make("demo")) == []
    long_ago = time.time() - 3600
    for path in (".venv/.demo", ".venv/bin/python", "tools/venv.sh"):
        os.utime(machine.checkout / path, (long_ago, long_ago))
    (machine.checkout / "pyproject.toml").touch()
    assert machine.told(machine.make("demo")) == ["synfin: installing synfin[cli,net] into .venv"]


def test_ctrl_c_during_the_set_up_leaves_no_half_made_venv(machine: Machine) -> None:
    machine.python("python3.11", 11, pip="echo > started; exec sleep 20")
    status, said = machine.interrupted()
    assert status == -signal.SIGINT
    assert "Traceback" not in said
    assert not machine.has_venv


def test_ctrl_c_during_the_demo_is_quiet(machine: Machine) -> None:
    machine.python("python3.11", 11, synfin="trap 'exit 130' INT; echo > started; sleep 20")
    machine.make(".venv/.demo")
    assert machine.interrupted() == (-signal.SIGINT, "")


@pytest.mark.parametrize(("status", "made", "lines"), [(141, 0, 0), (2, 2, 1)])
def test_make_is_quiet_about_a_reader_that_goes_and_not_about_failures(
    machine: Machine, status: int, made: int, lines: int
) -> None:
    machine.python("python3.11", 11, synfin=f"exit {status}")
    machine.make(".venv/.demo")
    result = machine.make("demo")
    assert (result.returncode, len(result.stderr.splitlines())) == (made, lines)


@pytest.fixture(scope="module")
def checkout() -> Path:
    """This checkout, where `make demo` has already installed everything, so that the next is the demo alone."""
    if not (ROOT / ".venv" / ".demo").exists():
        pytest.skip("make has not made .venv here (this run did not come from `make test`)")
    return ROOT


def sh(command: str, checkout: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=checkout, env=environment, check=False, capture_output=True, text=True
    )


def test_make_demo_into_a_pipe_has_no_escape_codes_and_fits_80_columns(
    checkout: Path, shell_environment: dict[str, str]
) -> None:
    sh("make .venv/.demo", checkout, shell_environment)  # a change of pyproject.toml is installed first
    result = sh("make demo", checkout, shell_environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
    for name in ("out/whole-life.svg", "out/whole-life.pcapng"):
        assert name in result.stdout
        assert (checkout / name).stat().st_size > 0


def test_make_demo_is_quiet_when_its_reader_goes(checkout: Path, shell_environment: dict[str, str]) -> None:
    result = sh("make demo | head -n 1", checkout, shell_environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 1

"""The same as an ordinary user, where the kernel allows it, and what is said where it does not.

The test, as root, makes the circumstances in a mount namespace of its own: a /dev/net/tun of another mode, a synfin that
another user may read. The machine's own /dev is not touched.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import Programs, programs

ROOT = Path(__file__).resolve().parent.parent.parent
USER = 65_534  # nobody

pytestmark = [pytest.mark.needs("netns", "curl", "unshare", "setpriv"), pytest.mark.xdist_group("netns")]

# seccomp(2): the system call `sys.argv[1]` with the argument `sys.argv[2]` of value `sys.argv[3]` fails with EPERM, in this
# process and all that come of it; then become the rest of the command line.
FORBIDDING = """
import ctypes, os, struct, sys
call, argument, value = (int(word, 0) for word in sys.argv[1:4])
def line(code, yes, no, k): return struct.pack("HBBI", code, yes, no, k)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = b"".join([
    line(LOAD, 0, 0, 0), line(EQUAL, 0, 3, call), line(LOAD, 0, 0, 16 + 8 * argument), line(EQUAL, 0, 1, value),
    line(RETURN, 0, 0, 0x00050000 | 1), line(RETURN, 0, 0, 0x7FFF0000)])
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 6, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[4], sys.argv[4:])
"""
IOCTL, TUNSETIFF = "16", "0x400454CA"  # x86-64
UNSHARE, NEW_USER_AND_NET = "272", "0x50000000"
UNREADABLE = ["-P", "-c", "import sys; from synfin.cli.main import run; sys.exit(run(sys.argv[1:]))"]


def readable_python() -> str:
    """An interpreter that another user may start: the running one, else the system's of the same version."""
    candidates = [os.path.realpath(sys.executable), f"/usr/bin/python3.{sys.version_info[1]}"]
    for candidate in candidates:
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        probe = [*user, "sh", "-c", f"{candidate} -c 'import ctypes'"]  # setpriv itself may still start anything
        if Path(candidate).exists() and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"no Python {sys.version_info[0]}.{sys.version_info[1]} that another user may run")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the user's, outside of what pytest keeps for root."""
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="synfin-user-") as name:
        path = Path(name)
        path.chmod(0o755)
        library = path / "lib"
        library.mkdir()
        shutil.copytree(ROOT / "src" / "synfin", library / "synfin", ignore=shutil.ignore_patterns("__pycache__"))
        import click  # noqa: PLC0415
        import pyroute2  # noqa: PLC0415

        for package in (click, pyroute2):
            source = Path(str(package.__file__)).parent
            shutil.copytree(source, library / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        runtime = path / "run"
        runtime.mkdir(mode=0o700)
        os.chown(runtime, USER, USER)
        yield path


def as_user(place: Path, mode: int, *wrap: str) -> tuple[Programs, list[str]]:
    """synfin as the user, in a mount namespace where /dev/net/tun has `mode`; `wrap` is put before the interpreter."""
    device = place / "tun"
    script = (
        'set -e; mount -t tmpfs -o mode=755 tmpfs "$0"; mknod -m "$1" "$0/tun" c 10 200; mount --bind "$0" /dev/net;'
        ' shift; exec "$@"'
    )
    device.mkdir(exist_ok=True)
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(device), f"{mode:o}"]
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all"]
    prefix = [*enter, *user, *wrap]
    return Programs(place / "run", prefix, (readable_python(), *UNREADABLE)), prefix


@pytest.fixture
def user(place: Path) -> Iterator[Programs]:
    made, _ = as_user(place, 0o666)
    made.environment["PYTHONPATH"] = str(place / "lib")
    yield made
    made.close()


def refusal(place: Path, mode: int, *wrap: str) -> str:
    """What `synfin up` says, in the one line that it says."""
    with programs(place / "run") as made:
        other, _ = as_user(place, mode, *wrap)
        made.command = other.command
        made.environment["PYTHONPATH"] = str(place / "lib")
        done = made.run("up")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_curl_fetches_from_synfin_without_root(user: Programs, place: Path) -> None:
    www = place / "www"
    www.mkdir()
    (www / "large").write_bytes(bytes(range(256)) * 4000)
    server = user.serve("serve", "http", str(www))
    done = user.run("exec", "--", "sh", "-c", "id -u; curl -sS http://10.77.0.2:8000/large | sha256sum")
    digest = hashlib.sha256(bytes(range(256)) * 4000).hexdigest()
    assert (done.stderr, done.stdout) == ("", f"0\n{digest}  -\n")  # root in there, by name only
    assert user.run("ping", "-c", "1").returncode == 0
    server.terminate()
    assert server.wait(20) == 143
    assert list(user.folder.iterdir()) == []


def test_a_tun_that_may_not_be_opened_is_told_with_its_mode_and_the_remedy(place: Path) -> None:
    line = refusal(place, 0o600)
    assert line == (
        "synfin: this user may not open /dev/net/tun (crw-------): Permission denied; allow it with:"
        " sudo chmod 0666 /dev/net/tun, or run it as root (synfin demo needs no right at all)\n"
    )


def test_user_namespaces_that_are_off_are_told_apart(place: Path) -> None:
    line = refusal(place, 0o666, readable_python(), "-c", FORBIDDING, UNSHARE, "0", NEW_USER_AND_NET)
    assert line.startswith("synfin: no user namespace can be made here (Operation not permitted), so an ordinary user")
    assert line.endswith(", or run it as root (synfin demo needs no right at all)\n")


def test_a_namespace_without_cap_net_admin_is_told_apart(place: Path) -> None:
    line = refusal(place, 0o666, readable_python(), "-c", FORBIDDING, IOCTL, "1", TUNSETIFF)
    assert line.startswith("synfin: a namespace was made, but without CAP_NET_ADMIN in it (Operation not permitted), so it")
    assert line.endswith(", or run it as root (synfin demo needs no right at all)\n")


def test_the_device_of_the_machine_keeps_its_mode(place: Path) -> None:
    before = stat.filemode(os.stat("/dev/net/tun").st_mode)
    refusal(place, 0o600)
    assert stat.filemode(os.stat("/dev/net/tun").st_mode) == before

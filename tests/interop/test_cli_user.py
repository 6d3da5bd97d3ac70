"""The same as an ordinary user, where the kernel allows it, and what is said where it does not.

The test, as root, makes the circumstances in a mount namespace of its own: a /dev/net/tun of another mode, a synfin that
another user may read. The machine's own /dev is not touched.
"""

import compileall
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import Programs

ROOT = Path(__file__).resolve().parent.parent.parent
USER = 65_534  # nobody

pytestmark = [pytest.mark.needs("netns", "curl", "unshare", "setpriv"), pytest.mark.xdist_group("netns")]

# seccomp(2): a system call whose argument `sys.argv[1]` has the value `sys.argv[2]`, which no other call has, fails with EPERM,
# in this process and all that come of it; then become the rest of the command line. Calls have other numbers elsewhere: no
# number is looked at.
FORBIDDING = """
import ctypes, os, struct, sys
argument, value = (int(word, 0) for word in sys.argv[1:3])
low = 16 + 8 * argument + 4 * (sys.byteorder == "big")
def line(code, yes, no, k): return struct.pack("HBBI", code, yes, no, k)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = b"".join([
    line(LOAD, 0, 0, low), line(EQUAL, 0, 1, value), line(RETURN, 0, 0, 0x00050000 | 1), line(RETURN, 0, 0, 0x7FFF0000)])
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[3], sys.argv[3:])
"""
TUNSETIFF = ("1", "0x400454CA")
NEW_USER_AND_NET = ("0", "0x50000000")
SYNFIN = ["-P", "-c", "import sys; from synfin.cli.main import run; sys.exit(run(sys.argv[1:]))"]


# A user namespace of the user's own in which a switch of the kernel's has been turned off: a limit there binds all below it.
SWITCHED_OFF = "echo 0 >/proc/sys/user/$0; exec setpriv --bounding-set=-all --inh-caps=-all \"$@\""


def python(place: Path) -> str:
    """The interpreter of this run, where `as_user` mounts it for others to read, wherever it lies."""
    found = Path(os.path.realpath(sys.executable)).relative_to(os.path.realpath(sys.base_prefix))
    return str(place / "python" / found)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
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
        compileall.compile_dir(library, quiet=2)  # the user may not write there
        runtime = path / "run"
        runtime.mkdir(mode=0o700)
        (path / "python").mkdir()
        os.chown(runtime, USER, USER)
        yield path


def as_user(place: Path, mode: int, *wrap: str) -> Programs:
    """synfin as the user, in a mount namespace where /dev/net/tun has `mode`; `wrap` is put before the interpreter."""
    device = place / "tun"
    script = (
        'set -e; mount -t tmpfs -o mode=755 tmpfs "$0"; mknod -m "$1" "$0/tun" c 10 200; mount --bind "$0" /dev/net;'
        ' mount --bind "$2" "$3"; shift 3; exec "$@"'
    )
    device.mkdir(exist_ok=True)
    enter = [
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(device), f"{mode:o}",
        sys.base_prefix, str(place / "python"),
    ]  # fmt: skip
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all"]
    prefix = [*enter, *user, *wrap]
    made = Programs(place / "run", prefix, (python(place), *SYNFIN))
    made.environment["PYTHONPATH"] = str(place / "lib")
    made.environment["LD_LIBRARY_PATH"] = str(place / "python" / "lib")  # an interpreter may be a library and little else
    return made


@pytest.fixture
def user(place: Path) -> Iterator[Programs]:
    made = as_user(place, 0o666)
    yield made
    made.close()


def refusal(place: Path, mode: int, *wrap: str) -> str:
    """What `synfin up` says, in the one line that it says."""
    done = as_user(place, mode, *wrap).run("up")
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


def test_root_without_network_namespaces_is_told_which_switch_forbids_them(place: Path) -> None:
    """Root of a user namespace is as good as root: the limit is that namespace's."""
    off = 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"'
    line = refusal(place, 0o666, "unshare", "--user", "--map-root-user", "sh", "-c", off, "sh")
    assert line == (
        "synfin: no network namespace can be made here (user.max_net_namespaces = 0); allow it with:"
        " sysctl -w user.max_net_namespaces=10000 (synfin demo needs no right at all)\n"
    )


def test_a_tun_that_may_not_be_opened_is_told_with_its_mode_and_the_remedy(place: Path) -> None:
    line = refusal(place, 0o600)
    assert line == (
        "synfin: this user may not open /dev/net/tun (crw-------): Permission denied; allow it with:"
        " sudo chmod 0666 /dev/net/tun, or run it as root (synfin demo needs no right at all)\n"
    )


def test_a_policy_against_user_namespaces_is_told_apart(place: Path) -> None:
    line = refusal(place, 0o666, python(place), "-c", FORBIDDING, *NEW_USER_AND_NET)
    assert line.startswith("synfin: no user namespace can be made here (Operation not permitted), so an ordinary user")
    assert line.endswith(", or run it as root (synfin demo needs no right at all)\n")


@pytest.mark.parametrize(("switch", "what"), [("max_user_namespaces", "user"), ("max_net_namespaces", "network")])
def test_the_switch_that_turns_namespaces_off_is_named(place: Path, switch: str, what: str) -> None:
    line = refusal(place, 0o666, "unshare", "--user", "--map-root-user", "sh", "-c", SWITCHED_OFF, switch)
    assert line == (
        f"synfin: {what} namespaces are off here (user.{switch} = 0), so an ordinary user cannot make a network of their own;"
        f" allow it with: sudo sysctl -w user.{switch}=10000, or run it as root (synfin demo needs no right at all)\n"
    )


def test_a_namespace_without_cap_net_admin_is_told_apart(place: Path) -> None:
    line = refusal(place, 0o666, python(place), "-c", FORBIDDING, *TUNSETIFF)
    assert line.startswith("synfin: a namespace was made, but without CAP_NET_ADMIN in it (Operation not permitted), so it")
    assert line.endswith(", or run it as root (synfin demo needs no right at all)\n")


def test_the_device_of_the_machine_keeps_its_mode(place: Path) -> None:
    before = stat.filemode(os.stat("/dev/net/tun").st_mode)
    refusal(place, 0o600)
    assert stat.filemode(os.stat("/dev/net/tun").st_mode) == before

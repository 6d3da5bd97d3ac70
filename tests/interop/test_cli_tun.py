"""`--tun`: a TUN that the machine's owner has made, in place of a namespace that synfin makes."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.namespace import ip
from tests.interop.programs import PATIENCE, Programs, programs

pytestmark = [pytest.mark.needs("netns", "curl", "ping"), pytest.mark.xdist_group("netns")]

DATA = bytes(range(256)) * 4000
TUN = "owned0"


@pytest.fixture
def owned() -> Iterator[Callable[..., str]]:
    """Makes the namespace of an owner with the TUN in it, and takes it away; returns its name."""
    name = f"synfin-owner-{os.getpid()}"
    ip("netns", "add", name)

    def make(*settings: str, addresses: bool = True) -> str:
        ip("-n", name, "tuntap", "add", "dev", TUN, "mode", "tun", *settings)
        if addresses:
            ip("-n", name, "address", "add", "10.77.0.1/24", "dev", TUN)
            ip("-n", name, "address", "add", "fd77::1/64", "dev", TUN, "nodad")
            ip("-n", name, "link", "set", TUN, "up")
        return name

    yield make
    ip("netns", "delete", name)


def within(name: str, tmp_path: Path, *wrap: str) -> Programs:
    """synfin as it is run in the owner's network."""
    return Programs(tmp_path, ["ip", "netns", "exec", name, *wrap])


def there(name: str, *words: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", name, *words], check=True, capture_output=True, text=True, timeout=PATIENCE,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("options", [[], ["--no-offload"]], ids=["offload", "no-offload"])
@pytest.mark.parametrize("kind", [[], ["vnet_hdr"], ["pi"]], ids=["plain", "vnet_hdr", "pi"])
def test_curl_fetches_over_the_owner_s_tun_which_stays_as_it_was(
    owned: Callable[..., str], tmp_path: Path, kind: list[str], options: list[str]
) -> None:
    name = owned(*kind)
    ip("-n", name, "link", "set", TUN, "mtu", "1400", "txqueuelen", "123")
    (tmp_path / "large").write_bytes(DATA)
    synfin = within(name, tmp_path)
    try:
        server = synfin.start("serve", "http", str(tmp_path), "--tun", TUN, *options)
        assert server.stdout is not None and server.stderr is not None
        assert server.stdout.readline() == "In another terminal: curl http://10.77.0.2:8000/\n", server.stderr.read()
        server.stdout.readline()
        for address in ("10.77.0.2", "[fd77::2]"):
            fetched = tmp_path / "fetched"
            there(name, "curl", "-sS", "--globoff", "-o", str(fetched), f"http://{address}:8000/large")
            assert fetched.read_bytes() == DATA
        assert "1 received" in there(name, "ping", "-c1", "-W2", "10.77.0.2")
        assert "LISTEN" in synfin.run("ss").stdout
        assert synfin.run("exec", "--", "true").returncode == 0  # it is the machine's own network: nothing is to be entered
        server.terminate()
        _, err = server.communicate(timeout=PATIENCE)
        assert (server.returncode, err) == (143, "")
    finally:
        synfin.close()
    shown = there(name, "ip", "link", "show", TUN)  # it was not synfin's to change, nor to take away
    assert "mtu 1400" in shown and "qlen 123" in shown


def test_connect_talks_over_the_owner_s_tun(owned: Callable[..., str], tmp_path: Path) -> None:
    name = owned()
    with programs(tmp_path) as synfin:
        synfin.command = within(name, tmp_path).command
        done = synfin.run("connect", "kernel", "9", "--tun", TUN, given="")
        assert (done.returncode, done.stderr) == (2, "synfin: kernel port 9: Connection refused\n")
        assert synfin.run("ping", "-c", "1", "--tun", TUN).returncode == 0


def test_what_the_tun_still_lacks_is_told(owned: Callable[..., str], tmp_path: Path) -> None:
    name = owned(addresses=False)
    synfin = within(name, tmp_path)
    try:
        server = synfin.serve("serve", "echo", "--tun", TUN)
        server.terminate()
        _, err = server.communicate(timeout=PATIENCE)
    finally:
        synfin.close()
    assert err == (
        f"synfin: {TUN} is not ready, 10.77.0.2 is not to be reached yet: ip address add 10.77.0.1/24 dev {TUN}\n"
        f"synfin: {TUN} is not ready, 10.77.0.2 is not to be reached yet: ip link set {TUN} up\n"
    )


def test_an_interface_that_is_not_there_or_no_tun_is_refused_in_one_line(owned: Callable[..., str], tmp_path: Path) -> None:
    synfin = within(owned(), tmp_path)
    for tun, line in (
        ("nosuch0", "there is no interface 'nosuch0' here; make it with:"
         " sudo ip tuntap add dev nosuch0 mode tun user $USER (or leave --tun away)"),
        ("lo", "the interface 'lo' is no TUN that packets can be read from: Invalid argument"),
        ("a-name-of-17-byte", "an interface's name has at most 15 bytes: 'a-name-of-17-byte'"),
    ):  # fmt: skip
        done = synfin.run("up", "--tun", tun)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"synfin: {line}\n")


def test_a_tun_that_another_program_has_is_told_to_be_in_use(owned: Callable[..., str], tmp_path: Path) -> None:
    synfin = within(owned(), tmp_path)
    try:
        synfin.serve("up", "--tun", TUN)
        done = synfin.run("up", "--tun", TUN, "--name", "other")
        assert (done.returncode, done.stderr) == (2, f"synfin: the interface '{TUN}' is in use by another program\n")
        joining = synfin.run("ping", "-c", "1")
        assert joining.stderr == "synfin: synfin stands on a TUN that was there before it: nobody else can use that\n"
    finally:
        synfin.close()

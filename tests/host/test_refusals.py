"""What is said where the machine refuses: which right is missing, and what gives it."""

import errno
import os
from pathlib import Path

import pytest

from synfin.host import refusals
from synfin.host.syscalls import CAP_SYS_ADMIN, has_capability

OTHERWISE = "or run it as root (synfin demo needs no right at all)"


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("name", "what", "off", "on"),
    [
        ("user.max_user_namespaces", "user", "0", "10000"),
        ("kernel.unprivileged_userns_clone", "user", "0", "1"),
        ("user.max_net_namespaces", "network", "0", "10000"),
    ],
)
def test_the_switch_that_turns_user_namespaces_off_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, what: str, off: str, on: str
) -> None:
    monkeypatch.setattr(refusals, "setting", lambda asked: off if asked == name else "")
    refused = refusals.user_namespaces_off(error(errno.ENOSPC))
    assert (refused.kind, str(refused)) == (
        refusals.USER_NAMESPACES_OFF,
        f"{what} namespaces are off here ({name} = {off}), so an ordinary user cannot make a network of their own;"
        f" allow it with: sudo sysctl -w {name}={on}, {OTHERWISE}",
    )


@pytest.mark.parametrize(
    ("value", "cause", "remedy"),
    [
        ("0", "user.max_net_namespaces = 0", "sysctl -w user.max_net_namespaces=10000"),
        ("", "No space left on device", "a kernel, or a container's policy, that has them"),
    ],
)
def test_root_is_told_why_there_is_no_network_namespace(
    monkeypatch: pytest.MonkeyPatch, value: str, cause: str, remedy: str
) -> None:
    monkeypatch.setattr(refusals, "setting", lambda asked: value)
    refused = refusals.no_network_namespace(error(errno.ENOSPC))
    assert (refused.kind, str(refused)) == (
        refusals.NETWORK_NAMESPACES_OFF,
        f"no network namespace can be made here ({cause}); allow it with: {remedy} (synfin demo needs no right at all)",
    )


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENODEV, refusals.NOT_A_TUN, "there is no interface 'x0' here; make it with: sudo ip tuntap add dev x0 mode tun"),
        (errno.EBUSY, refusals.NOT_A_TUN, "the interface 'x0' is in use by another program"),
        (errno.EPERM, refusals.NO_CAPABILITY, "the interface 'x0' is not this user's: Operation not permitted; make it theirs"),
        (errno.EINVAL, refusals.NOT_A_TUN, "the interface 'x0' is no TUN that packets can be read from: Invalid argument"),
    ],
)
def test_each_reason_why_an_existing_tun_cannot_be_had_is_told_apart(number: int, kind: str, words: str) -> None:
    refused = refusals.existing_tun_refused(error(number), "x0")
    assert refused.kind == kind and str(refused).startswith(words)


def test_apparmor_s_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "kernel.apparmor_restrict_unprivileged_userns"
    monkeypatch.setattr(refusals, "setting", lambda asked: "1" if asked == name else "")
    refused = refusals.without_capability(error(errno.EPERM))
    assert (refused.kind, str(refused)) == (
        refusals.NO_CAPABILITY,
        f"a namespace was made, but without CAP_NET_ADMIN in it ({name} = 1), so it can have no TUN;"
        f" allow it with: sudo sysctl -w {name}=0, {OTHERWISE}",
    )


def test_a_machine_without_tun_is_told_apart_from_one_that_forbids_it(tmp_path: Path) -> None:
    missing, forbidden = str(tmp_path / "no"), tmp_path / "tun"
    forbidden.write_text("")
    forbidden.chmod(0o640)
    refused = refusals.tun_refused(error(errno.ENOENT), missing)
    assert refused.kind == refusals.NO_TUN
    assert str(refused).endswith(f"as root: modprobe tun (in a container: give it {missing})")
    refused = refusals.tun_refused(error(errno.EACCES), str(forbidden))
    assert (refused.kind, str(refused)) == (
        refusals.TUN_MODE,
        f"this user may not open {forbidden} (-rw-r-----): Permission denied; allow it with: sudo chmod 0666 {forbidden},"
        f" {OTHERWISE}",
    )


@pytest.mark.parametrize(("effective", "answer"), [("0000000000200000", True), ("000001ffffdfffff", False)])
def test_a_capability_is_read_from_the_effective_set(tmp_path: Path, effective: str, answer: bool) -> None:
    status = tmp_path / "status"
    status.write_text(f"CapPrm:\tffffffffffffffff\nCapEff:\t{effective}\n")
    assert has_capability(CAP_SYS_ADMIN, status) is answer

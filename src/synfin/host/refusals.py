"""Why the machine does not let us make a namespace or a TUN, and what a person can do about it.

Owns the kinds of refusal and their sentences. Knows nothing of who asks.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from synfin.engine.errors import UsageError

TUN: Final = "/dev/net/tun"

TUN_MODE: Final = "mode of /dev/net/tun"
NO_TUN: Final = "no TUN"
NOT_A_TUN: Final = "no TUN of that name"
USER_NAMESPACES_OFF: Final = "user namespaces off"
NETWORK_NAMESPACES_OFF: Final = "network namespaces off"
NO_CAPABILITY: Final = "without CAP_NET_ADMIN"

OTHERWISE: Final = "or run it as root (synfin demo needs no right at all)"

# The switches that turn namespaces off, where a kernel has them, of which kind, the value that does, and one that does not.
SWITCHES: Final = (
    ("user.max_user_namespaces", "user", "0", "10000"),
    ("kernel.unprivileged_userns_clone", "user", "0", "1"),
    ("user.max_net_namespaces", "network", "0", "10000"),
)  # fmt: skip
APPARMOR: Final = ("kernel.apparmor_restrict_unprivileged_userns", "1", "0")


class Refused(UsageError):
    """The machine said no; `kind` is one of this module's constants, the text one line that says what to do."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind: str = kind


def tun_refused(error: OSError, path: str = TUN) -> Refused:
    """`path` could not be opened."""
    if error.errno not in (errno.EACCES, errno.EPERM):
        remedy = f"as root: modprobe tun (in a container: give it {path})"
        return Refused(NO_TUN, f"there is no TUN here: {path}: {error.strerror}; {remedy}")
    try:
        mode = stat.filemode(os.stat(path).st_mode)  # not whose it is: in a user namespace that cannot be seen
    except OSError:
        mode = "unknown mode"
    return Refused(
        TUN_MODE,
        f"this user may not open {path} ({mode}): {error.strerror}; allow it with: sudo chmod 0666 {path}, {OTHERWISE}",
    )


def existing_tun_refused(error: OSError, name: str) -> Refused:
    """The interface `name` could not be attached to."""
    if error.filename:
        return tun_refused(error)
    made = f"sudo ip tuntap add dev {name} mode tun user $USER"
    if error.errno == errno.ENODEV:
        return Refused(NOT_A_TUN, f"there is no interface {name!r} here; make it with: {made} (or leave --tun away)")
    if error.errno == errno.EBUSY:
        return Refused(NOT_A_TUN, f"the interface {name!r} is in use by another program")
    if error.errno in (errno.EPERM, errno.EACCES):
        return Refused(
            NO_CAPABILITY,
            f"the interface {name!r} is not this user's: {error.strerror}; make it theirs with: {made}, {OTHERWISE}",
        )
    return Refused(NOT_A_TUN, f"the interface {name!r} is no TUN that packets can be read from: {error.strerror}")


def user_namespaces_off(error: OSError) -> Refused:
    """unshare(CLONE_NEWUSER | CLONE_NEWNET) failed."""
    for name, what, off, on in SWITCHES:
        if setting(name) == off:
            return Refused(
                USER_NAMESPACES_OFF,
                f"{what} namespaces are off here ({name} = {off}), so an ordinary user cannot make a network of their own;"
                f" allow it with: sudo sysctl -w {name}={on}, {OTHERWISE}",
            )
    return Refused(
        USER_NAMESPACES_OFF,
        f"no user namespace can be made here ({error.strerror}), so an ordinary user cannot make a network of their own;"
        f" a container's or a system's policy forbids it: allow unshare(CLONE_NEWUSER) there, {OTHERWISE}",
    )


def no_network_namespace(error: OSError) -> Refused:
    """unshare(CLONE_NEWNET) failed for somebody who has the right to it."""
    cause = error.strerror or "refused"
    if setting("user.max_net_namespaces") == "0":
        cause, remedy = "user.max_net_namespaces = 0", "sysctl -w user.max_net_namespaces=10000"
    else:
        remedy = "a kernel, or a container's policy, that has them"
    return Refused(
        NETWORK_NAMESPACES_OFF,
        f"no network namespace can be made here ({cause}); allow it with: {remedy} (synfin demo needs no right at all)",
    )


def without_capability(error: OSError) -> Refused:
    """The namespaces were made, but what is allowed in them was not."""
    name, on, off = APPARMOR
    if setting(name) == on:
        cause, remedy = f"{name} = {on}", f"sudo sysctl -w {name}={off}"
    else:
        cause = error.strerror or "refused"
        remedy = "a change to the system's or the container's policy, which withholds it"
    return Refused(
        NO_CAPABILITY,
        f"a namespace was made, but without CAP_NET_ADMIN in it ({cause}), so it can have no TUN;"
        f" allow it with: {remedy}, {OTHERWISE}",
    )


def setting(name: str) -> str:
    """The kernel's setting as sysctl names it; "" where it has none."""
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""

"""The holder of a namespace: a process of one thread that makes it, makes TUNs in it, and stays until nobody holds its socket.

    python -P -m synfin.host.helper DESCRIPTOR

Owns the namespace and what is configured in it. Speaks JSON over the SOCK_SEQPACKET socket DESCRIPTOR. The namespace is gone
when the last who holds the other end of that socket is, and the last program in it. Nothing of a stack is here.

A request brings the socket that its answer goes to, so that several may ask:

    {"make": {}}                                   -> {"pid": .., "user": true}
    {"tun": {"mtu": 1500, "offload": true}}        -> {"number": 0}, and the descriptor
    anything refused                               -> {"refused": kind, "text": ..}
"""

import errno
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from synfin.device.tun import TunDevice
from synfin.host.addresses import LIMIT, Plan, plan
from synfin.host.refusals import Refused, no_network_namespace, tun_refused, user_namespaces_off, without_capability
from synfin.host.syscalls import CAP_SYS_ADMIN, CLONE_NEWNET, CLONE_NEWUSER, has_capability, unshare

LONGEST: Final = 65_536  # bytes of a message
RTN_LOCAL: Final = 2  # <linux/rtnetlink.h>
READY_WITHIN: Final = 2.0  # seconds
IFA_F_NODAD: Final = 0x02  # <linux/if_addr.h>: nobody else is on this wire, the address is good at once
FORWARDING: Final = ("ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding")  # between the TUNs of the namespace


def main() -> None:
    """Serve the socket whose descriptor is the first argument until it is closed at the other end."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # we are in a session of our own: no terminal sends us anything else
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        while True:
            message, fds, _, _ = socket.recv_fds(channel, LONGEST, 1)
            if not message:
                return
            with socket.socket(fileno=fds[0]) as reply:
                _serve(json.loads(message), reply)


def _serve(request: dict[str, Any], reply: socket.socket) -> None:
    answer, device = _answer(request)
    try:
        socket.send_fds(reply, [json.dumps(answer).encode()], [] if device is None else [device.fileno()])
    except (BrokenPipeError, ConnectionResetError):
        pass  # who asked has gone, and its TUN with it
    finally:
        if device is not None:
            device.close()


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], TunDevice | None]:
    try:
        if "make" in request:
            return make_namespace(), None
        return make_tun(**request["tun"])
    except Refused as error:
        return {"refused": error.kind, "text": str(error)}, None


def make_namespace() -> dict[str, Any]:
    """A network namespace for this process; where it has no right to one, in a user namespace of its own. Raises Refused."""
    own = not has_capability(CAP_SYS_ADMIN)
    if not own:
        try:
            unshare(CLONE_NEWNET)
        except PermissionError:
            own = True
        except OSError as error:
            raise no_network_namespace(error) from None
    if own:
        _make_user_namespace()
    try:
        _bring_up_loopback()
    except OSError as error:
        raise without_capability(error) from None
    return {"pid": os.getpid(), "user": own}


def _make_user_namespace() -> None:
    """In it we are root, outside who we were; no other user exists in it."""
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        raise user_namespaces_off(error) from None
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise without_capability(error) from None


def _bring_up_loopback() -> None:
    from pyroute2 import IPRoute  # noqa: PLC0415  an extra

    try:
        with IPRoute() as routes:
            routes.link("set", index=routes.link_lookup(ifname="lo")[0], state="up")
    except Exception as error:
        raise _as_os_error(error) from None
    for name in FORWARDING:
        with suppress(OSError):  # a kernel may have no IPv6, a container no /proc/sys to write: one TUN needs none of it
            Path("/proc/sys/net", name).write_text("1")


def _as_os_error(error: Exception) -> OSError:
    """pyroute2's NetlinkError carries the errno in `code`."""
    number = getattr(error, "code", None) or getattr(error, "errno", None)
    if not isinstance(number, int):
        raise error
    return OSError(number, os.strerror(number))


def make_tun(*, mtu: int, offload: bool) -> tuple[dict[str, Any], TunDevice]:
    """The next TUN of this process's namespace, configured; the caller closes it. Raises Refused."""
    for number in range(LIMIT):
        wanted = plan(number)
        try:
            device = TunDevice(wanted.name, mtu, offload=offload)
        except OSError as error:
            if error.errno == errno.EBUSY:
                continue
            # The device is opened first, which has the file's name, then asked for the interface, which has none.
            raise tun_refused(error) if error.filename else without_capability(error) from None
        try:
            _configure(wanted)
        except BaseException:
            device.close()
            raise
        return {"number": number}, device
    raise Refused("full", f"{LIMIT} programs are in this namespace already")


def _configure(wanted: Plan) -> None:
    from pyroute2 import IPRoute  # noqa: PLC0415

    try:
        with IPRoute() as routes:
            index = routes.link_lookup(ifname=wanted.name)[0]
            routes.link("set", index=index, state="up")  # first: addresses given to what is down become usable later
            routes.addr("add", index=index, address=wanted.kernel[0], prefixlen=24)
            if Path("/proc/sys/net/ipv6").exists():
                routes.addr("add", index=index, address=wanted.kernel[1], prefixlen=64, flags=IFA_F_NODAD)
                _await_local(routes, wanted.kernel[1])
    except Exception as error:
        raise without_capability(_as_os_error(error)) from None


def _await_local(routes: Any, address: str) -> None:
    """The kernel makes an IPv6 address its own in the background: until then it answers nothing there."""
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until:
        if any(found["type"] == RTN_LOCAL for found in routes.route("get", dst=address)):
            return
        time.sleep(0.002)


if __name__ == "__main__":
    main()

"""`synfin.run`: aio.realtime.run for a program that others may look into, through the control socket.

Owns the socket's coming and going around a program. A machine on which it cannot be made runs the program all the same.
"""

import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from synfin.aio import realtime
from synfin.aio.realtime import ADDRESSES, LINGER, RealHost
from synfin.control.server import Offer
from synfin.device.base import DescriptorDevice
from synfin.engine.config import TcpConfig
from synfin.engine.errors import UsageError
from synfin.sockets.host import current_host
from synfin.stack.addresses import text

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T], *hosts: RealHost, device: DescriptorDevice | None = None,
    addresses: Sequence[str] = ADDRESSES, config: TcpConfig | None = None,
    names: Mapping[str, Sequence[str]] | None = None, offer: str | None = "synfin", debug: bool | None = None,
    linger: float = LINGER,
) -> T:  # fmt: skip
    """See aio.realtime.run. While it runs `synfin ss` shows the sockets of the first host, under the name `offer`; with None
    they are nobody's business."""
    shown = main if offer is None else _offered(main, offer)
    try:
        return realtime.run(
            shown, *hosts, device=device, addresses=addresses, config=config, names=names, debug=debug, linger=linger
        )
    finally:
        main.close()  # one that was never started


async def _offered(main: Coroutine[Any, Any, T], name: str) -> T:
    host = current_host()
    about = {
        "command": os.path.basename(sys.argv[0]) or "python", "holder": None,
        "addresses": [text(address) for address in host.stack.addresses],
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(Offer(host, name, about))
        except (UsageError, OSError) as error:
            print(f"synfin: no control socket: {error}", file=sys.stderr)
        return await main

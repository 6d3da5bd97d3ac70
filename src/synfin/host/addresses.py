"""The addresses of the n-th TUN of a namespace: which the kernel has, which synfin has.

Owns the plan and nothing else: 10.77.n.1 and fd77:0:0:n::1 are the kernel's, .2 and ::2 synfin's.
"""

import ipaddress
from typing import Final, NamedTuple

FIRST4: Final = ipaddress.IPv4Address("10.77.0.0")
FIRST6: Final = ipaddress.IPv6Address("fd77::")
LIMIT: Final = 256  # TUNs of one namespace


class Plan(NamedTuple):
    """What interface `name` is given; `kernel` and `ours` as text, IPv4 first."""

    name: str
    kernel: tuple[str, str]
    ours: tuple[str, str]


def plan(number: int) -> Plan:
    """The plan of TUN `number`, from 0. Raises ValueError for one that is not to be."""
    if not 0 <= number < LIMIT:
        raise ValueError(f"a namespace has TUNs 0 to {LIMIT - 1}, not {number}")
    four, six = int(FIRST4) + (number << 8), int(FIRST6) + (number << 64)
    kernel = (str(ipaddress.IPv4Address(four + 1)), str(ipaddress.IPv6Address(six + 1)))
    ours = (str(ipaddress.IPv4Address(four + 2)), str(ipaddress.IPv6Address(six + 2)))
    return Plan(f"synfin{number}", kernel, ours)

"""Short ways to play a script in a test."""

from typing import Any

from synfin.packetdrill.plan import Wish
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.run import Outcome, play_text

RFC = load_profile("rfc")

# A connection without timestamps, opened by the script's side; both may send 20,000 bytes or more.
OPEN = """
0 `sysctl -q net.ipv4.tcp_timestamps=0`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.01 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
"""


def wish(**wanted: Any) -> Wish:
    """Strict, with the profile rfc, without ladder, unless `wanted` says otherwise."""
    return Wish(**{"profile": RFC, "strict": True, "ladder": False, **wanted})


def play(text: str, **wanted: Any) -> Outcome:
    """Play `text` once."""
    return play_text(text, "test.pkt", wish(**wanted))


def opened(text: str, **wanted: Any) -> Outcome:
    """Play `text` on a connection that is open, descriptor 4."""
    return play(OPEN + text, **wanted)


def told(outcome: Outcome) -> tuple[str, str, tuple[str, ...]]:
    """Verdict, the actual line and the fields that differ."""
    return outcome.verdict, outcome.actual, outcome.why

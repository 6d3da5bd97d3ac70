"""The simulation's randomness: one stream a purpose, all from one seed.

Owns the derivation. A stream depends on nothing but (seed, purpose), so one more draw in one moves nothing in another, and
a new purpose changes no old run. Knows nothing of who draws.
"""

import hashlib
import random

from synfin.engine.errors import UsageError


class Streams:
    """The streams of one run. `seed` is any integer."""

    def __init__(self, seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise UsageError(f"the seed is an integer, not {seed!r}")
        self.seed: int = seed
        self._streams: dict[str, random.Random] = {}

    def __call__(self, purpose: str) -> random.Random:
        """The stream for `purpose`, the same object each time it is asked for."""
        stream = self._streams.get(purpose)
        if stream is None:
            # An integer as seed: how Random hashes text has changed between Python versions.
            stream = self._streams[purpose] = random.Random(int.from_bytes(self.derive(purpose), "big"))
        return stream

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only (seed, purpose) decides, for a secret."""
        return hashlib.sha256(f"{self.seed}\0{purpose}".encode()).digest()

"""What the verdict answers: levels, kinds, reasons, findings. Owns the shape; judges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from synfin.words import Text


class Level(IntEnum):
    """How sure; larger is worse."""

    NONE = 0
    SUSPECTED = 1
    FLOOD = 2

    @property
    def word(self) -> str:
        """For programs: "none", "suspected" or "flood"."""
        return self.name.lower()


class Kind(StrEnum):
    """What it is. The first four say where the SYNs come from."""

    RANDOM = "random sources"
    PREFIX = "one prefix"
    HOST = "one host"
    UNKNOWN = "sources unknown"  # none seen (cookies keep nothing), or neither random nor concentrated
    UNATTRIBUTABLE = "unattributable"  # a flood of the namespace; which listener, the source cannot say
    SLOW_SERVER = "slow server"  # the accept queue overflows: no flood


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing seen. `code` is for programs, `facts` fill the placeholders of `text`."""

    code: str
    text: Text
    facts: Mapping[str, object] = field(default_factory=dict)

    def say(self, lang: str) -> str:
        """In plain words, in `lang` ("en" or "zh")."""
        return self.text.say(lang, **self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to say about one listener, or with `listener` None about all of the namespace."""

    level: Level
    score: float  # 0 to 1
    kind: Kind
    listener: tuple[bytes, int] | None  # its address and port
    owner: str = "-"
    title: Reason
    reasons: tuple[Reason, ...] = ()
    network: tuple[bytes, int] | None = None  # of HOST and PREFIX: address with zeros behind, bits

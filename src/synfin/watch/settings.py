"""The thresholds of the verdict, each with its reason. Owns numbers; knows no sample."""

from dataclasses import dataclass
from typing import Final

SECOND: Final = 1_000_000_000  # ns

INPUTS: Final = ("cookies", "entropy", "repeats", "overflows", "counters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may be set; docs/syn-flood.md has the measurements behind the defaults."""

    # The window
    window: int = 10 * SECOND  # ns kept: long enough to see a second and a third SYN,ACK go unanswered (1 s, 3 s, 7 s)
    intervals: int = 100  # between samples, at most, however close they are
    spans: tuple[int, ...] = (1, 2, 4, 8)  # intervals judged by themselves, so that a flood's first second is not diluted

    # Level from score
    flood: float = 0.6  # at 20 % loss each way 36 % of handshakes need a second SYN,ACK; in a tenfold flood 91 % fail
    suspected: float = 0.35  # just below that 36 %, so that it also holds the floods smaller than the normal traffic
    confidence: float = 2.0  # standard deviations of Wilson's lower bound: few handshakes prove little

    # How much has to fail before its share counts in full
    unfinished: int = 15  # handshakes: three strays or a scan's one SYN a port are none
    unfinished_rate: float = 10.0  # a second: 630 entries in 63 s, more than most backlogs; slower is the full queue's matter
    reset_part: float = 0.1  # of a failure, where an RST ended the entry: it held the queue for a round trip only
    pressure: float = 0.75  # of the SYN queue: Linux prunes from a half on, the last quarter is what normal peaks need
    pressed: int = 20  # entries: the full queue of a listener that keeps 8 is no evidence
    table_entries: int = 100  # entries, where neither limit nor counters are known
    unattributed: int = 100  # handshakes: a scan of many ports spreads that few over all listeners

    # How old an entry is that nobody will complete
    old: int = 7 * SECOND  # ns: the fourth SYN,ACK; at 20 % loss 27 % of the entries in the table are that old, in a flood 89 %
    old_syn_acks: int = 4
    still: int = 3  # entries of one to seven seconds: with fewer, and no SYN without room, the flood has ended
    aged: int = 3 * SECOND  # ns: the third SYN,ACK, for a single table: at 20 % loss 49 % are that old
    aged_syn_acks: int = 3
    healthy: float = 0.7  # of handshakes completed in the newest interval: then entries of one second are slow, not forged

    # Sources
    concentrated: float = 0.6  # of the entries from one host or prefix: then it is named
    concentrated_weight: float = 0.75  # a few hosts may be behind a bad line: at 50 % loss 77 % of their entries are old
    unknown_weight: float = 0.95  # sources not seen: nothing speaks against a flood, but one thing less speaks for it
    randomness: float = 0.8  # of the entropy that so many sources allow
    sources: int = 8  # entries below which nothing is said of the sources

    # Slow server
    overflow_window: int = 3  # intervals: a queue that overflowed so recently may explain entries that wait
    explained: float = 0.1  # of what failed, lost at the accept queue: below, the overflow explains nothing

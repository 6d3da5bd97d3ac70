"""What a sender decides to send next. Owns no logic."""


class Plan:
    """`count` bytes at `seq`, with FIN or not, and why: one of segment.py's reasons."""

    __slots__ = ("count", "fin", "reason", "seq")

    def __init__(self, seq: int, count: int, fin: bool, reason: int) -> None:
        self.seq: int = seq
        self.count: int = count
        self.fin: bool = fin
        self.reason: int = reason

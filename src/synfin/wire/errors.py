"""The one error that a parser raises."""

from synfin.engine.errors import DropReason


class ParseError(ValueError):
    """The bytes are not a packet that can be taken; `reason` is the counter it belongs to, the text names what was wrong."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(text)
        self.reason: DropReason = reason

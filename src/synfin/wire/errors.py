"""The one error that a parser of this package raises, whatever the bytes. Knows the reasons that a stack counts drops by."""

from synfin.engine.errors import DropReason


class ParseError(ValueError):
    """The bytes are no packet that TCP can take; `reason` is the counter it falls under, the text says what was wrong."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason: DropReason = reason
        self.text: str = text

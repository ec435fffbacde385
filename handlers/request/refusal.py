"""Why a request is not served: what the rest of this folder raises, and the client reads."""


class PayloadError(Exception):
    """A request that can't be served as sent: the HTTP status for it and one line that says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


def quoted(said: object) -> str:
    """Something of the client's for a message of one line: short, in quotes, its line breaks escaped."""
    text = str(said)
    return ascii(text if len(text) <= 40 else text[:40] + "...")

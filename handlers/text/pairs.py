"""A text, or a pair of texts that a classifier reads as one input, such as a question and an answer."""

from handlers.request.payload import PAIR, Limits, text_of
from handlers.request.refusal import PayloadError

# Either is what the package tokenizers takes for one input.
TextOrPair = str | tuple[str, str]


def text_or_pair_of(value: object, limits: Limits) -> TextOrPair:
    """One input -> its text, or the two of `{"text": …, "text_pair": …}`, each within the limits of a text.

    Raises PayloadError.
    """
    if not isinstance(value, dict) or value.keys() != PAIR:
        return text_of(value, limits)
    return _part_of(value, "text", limits), _part_of(value, "text_pair", limits)


def _part_of(pair: dict[str, object], key: str, limits: Limits) -> str:
    part = pair[key]
    if isinstance(part, str) and not part.strip():
        raise PayloadError(400, f'the pair\'s "{key}" is empty: send one text alone as {{"text": …}}')
    try:
        return text_of(part, limits)
    except PayloadError as error:
        raise PayloadError(error.status, f'the pair\'s "{key}": {error.reason}') from None

"""The inputs that engines are compared over: texts of all lengths, ours or the user's."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

TEXTS = 200
LONGEST_WORDS = 512
SEED = 0


def our_texts(corpus: Sequence[str], count: int = TEXTS) -> list[str]:
    """`count` texts of 1 to 512 words from the corpus, in an order that mixes them in every batch.

    Short ones are more frequent, as in most traffic: the logarithm of the length is uniform. With the tokens
    that a model adds, and at its limit of tokens, they are of 3 to 512 tokens. The same each time.
    """
    words = [word for line in corpus for word in line.split()]
    drawn = Random(SEED)
    lengths = [round(LONGEST_WORDS ** (number / (count - 1))) for number in range(count)]
    drawn.shuffle(lengths)
    return [" ".join(drawn.choices(words, k=length)) for length in lengths]


def texts_of(file: Path) -> list[str]:
    """The lines of a file that aren't empty. Raises OSError, and ValueError where there is none."""
    texts = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    if not texts:
        raise ValueError(f"{file} holds no text: write one on each line")
    return texts

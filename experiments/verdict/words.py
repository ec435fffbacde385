"""Numbers and cells in words, the same all over the report."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import isfinite

from experiments.base.numbers import UNKNOWN, plain
from experiments.plan import Cell
from experiments.verdict.stats import Comparison

GIB = 2.0**30
DASH = UNKNOWN
MINUS = "\u2212"
TIMES = "\u00d7"
OF_HUNDRED = "\u00a0%"  # its space does not break


def counted(number: int, noun: str, plural: str = "") -> str:
    """'1 worker', '2 workers', 'no workers'."""
    return f"{number or 'no'} {noun if number == 1 else plural or noun + 's'}"


def number(value: float) -> str:
    """Three digits or all before the point, its zeros too, so that the figures of a column line up: 0.0523,
    18.0, 1,234."""
    if not isfinite(value):
        return DASH
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:#.3g}'.removesuffix('.')):f}"


def configuration(cell: Cell) -> str:
    """'batch size 8 on 2 workers with MPS': without the model, which a page says once, and without a comma,
    so that it can stand in a list."""
    limits = f" at {_limits(cell)}" if cell.limits else ""
    mps = f" with MPS{limits}" if cell.mps else ""
    return f"batch size {cell.batch_size} on {counted(cell.workers, 'worker')}{mps}{special(cell)}"


def special(cell: Cell) -> str:
    """What is unusual about a cell, in brackets, so that it can follow whatever was said of it."""
    told = "; ".join(cell.special())
    return f" ({told})" if told else ""


def crossed(cell: Cell) -> str:
    """Workers times batch size, where there is little room, and the load where that was chosen."""
    load = [f"{plain(cell.rate_rps, 6)}/s"] if cell.rate_rps else []
    load += [f"{cell.concurrency} in flight"] if cell.concurrency and not cell.rate_rps else []
    return ", ".join([f"{cell.workers} {TIMES} {cell.batch_size}", *load])


def arm(cell: Cell) -> str:
    """'MPS off', 'MPS on', 'MPS on, 25 % each'."""
    limits = f", {_limits(cell)}" if cell.limits else ""
    return f"MPS on{limits}" if cell.mps else "MPS off"


def _limits(cell: Cell) -> str:
    """'25 % each', '4 chunks together and 4096 MiB each': a partition is of all workers, the rest of one."""
    whose = {False: "each", True: "together"}
    return joined(f"{limit} {whose['chunk' in limit]}" for limit in cell.limits)


def joined(words: Iterable[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    *first, final = list(words) or [""]
    return f"{', '.join(first)} {last} {final}" if first else final


def shortened(words: Sequence[str], most: int = 3, last: str = "and") -> str:
    """The first of them, and how many more there are."""
    if len(words) <= most:
        return joined(words, last)
    return f"{', '.join(words[:most])} {last} {counted(len(words) - most, 'other')}"


def change(ratio: float) -> str:
    """A ratio as a change: '+18 %', '+0.4 %', with a minus sign where it is less, and beyond a doubling or
    halving as a factor."""
    if not isfinite(ratio):
        return DASH
    if ratio >= 2 or ratio <= 0.5:
        return f"{TIMES}{plain(ratio, 3)}"
    points = (ratio - 1) * 100
    digits = 0 if abs(points) >= 9.95 else 1
    return f"{points:+.{digits}f}{OF_HUNDRED}".replace("-", MINUS)


def apart(ratio: float) -> str:
    """How far a ratio of 1 or more is from 1: '1.3 %', '0.03 %'."""
    return f"{plain((ratio - 1) * 100, 2)}{OF_HUNDRED}"


def percent(share: float, digits: int = 4) -> str:
    """'93.75 %', '73 %'."""
    return f"{plain(share * 100, digits)}{OF_HUNDRED}"


def interval(comparison: Comparison) -> str:
    """'1.12 to 1.25', and a dash where it is not known."""
    if not isfinite(comparison.ratio):
        return DASH
    return span(f"{comparison.low:.2f}", f"{comparison.high:.2f}")


def range_of(low: float, high: float) -> str:
    """The least and the most, a dash between them."""
    return span(number(low), number(high), DASH)


def span(low: str, high: str, to: str = "to") -> str:
    """'1.12 to 1.25', and one of them where both read alike."""
    return low if low == high else f"{low} {to} {high}"


def told(value: float, low: float | None = None, high: float | None = None) -> str:
    """A figure in a text alternative, with its range."""
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({span(number(low), number(high))})"


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def capital(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]

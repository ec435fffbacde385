"""A number as a reader is shown it."""

from decimal import Decimal
from math import isfinite

UNKNOWN = "\u2013"


def plain(value: float, digits: int, separator: str = ",") -> str:
    """So many significant digits or all before the point, never an exponent: 0.00001, 2.5, 223, 1,234,567."""
    if not isfinite(value):
        return UNKNOWN
    if abs(value) >= 10**digits - 0.5:
        return f"{value:{separator}.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"

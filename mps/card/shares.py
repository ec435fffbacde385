"""Shares of a card's multiprocessors: how many one comes to, and whether a worker really is held to it."""

from collections.abc import Sequence

from mps.card.device import Gpu

# Measured on an H200 at 18 shares (results/published/h200-answers-under-shares.json): rounded down to whole
# pairs, and never fewer than 8. Other architectures may round otherwise: what is not known is not said.
HOPPER = (9, 0)
FEWEST_OF_HOPPER, STEP_OF_HOPPER = 8, 2


def multiprocessors_at(card: Gpu, share: int) -> int | None:
    """The multiprocessors that MPS leaves a client with a share in percent; None where that is not known."""
    if card.multiprocessors is None or card.compute_capability != HOPPER:
        return None
    pairs = card.multiprocessors * share // 100 // STEP_OF_HOPPER
    return min(card.multiprocessors, max(FEWEST_OF_HOPPER, pairs * STEP_OF_HOPPER))


def alike(card: Gpu, shares: Sequence[int]) -> list[str]:
    """A line for each group of shares that are one and the same on this card."""
    groups: dict[int, list[int]] = {}
    for share in dict.fromkeys(shares):
        if count := multiprocessors_at(card, share):
            groups.setdefault(count, []).append(share)
    return [
        f"shares of {_listed(group)} % are the same {count} multiprocessors of {card.name}: "
        "their cells differ by noise alone"
        for count, group in groups.items()
        if len(group) > 1
    ]


def not_in_force(card: Gpu | None, share: int | None, seen: Sequence[int] | None) -> list[str]:
    """What speaks against workers that see so many multiprocessors being held to `share`, None for one that
    was not asked for; nothing where either is not known."""
    if card is None or card.multiprocessors is None or share is None or not seen:
        return []
    whole = card.multiprocessors
    if share < 100 and max(seen) >= whole:
        return [f"the share of {share} % is not in force: a worker sees all {whole} multiprocessors"]
    if share == 100 and min(seen) < whole:
        return [f"the share of 100 % is not in force: a worker sees {min(seen)} of {whole} multiprocessors"]
    return []


def not_in_partition(multiprocessors: int | None, seen: Sequence[int] | None) -> list[str]:
    """What speaks against workers being in a static partition of so many multiprocessors, None without one;
    nothing where they don't tell what they see."""
    if multiprocessors is None or not seen or max(seen) <= multiprocessors:
        return []
    return [f"the partition of {multiprocessors} multiprocessors is not in force: a worker sees {max(seen)}"]


def _listed(shares: Sequence[int]) -> str:
    return f"{', '.join(map(str, shares[:-1]))} and {shares[-1]}"

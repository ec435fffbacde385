"""When requests come: times in seconds from 0 on, ascending."""

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


def constant(rate_rps: float, seconds: float) -> Times:
    """One every 1 / rate seconds."""
    return np.arange(int(rate_rps * seconds)) / rate_rps


def poisson(rate_rps: float, seconds: float, seed: int) -> Times:
    """Independent of each other: gaps are exponential."""
    random = np.random.default_rng(seed)
    count = random.poisson(rate_rps * seconds)
    return np.sort(random.uniform(0, seconds, count))


def bursty(rate_rps: float, seconds: float, seed: int, times: float = 3.0, every_s: float = 10.0) -> Times:
    """Poisson at two rates in turns: a tenth of the time at `times` the average, the rest at what is left.

    Bursts come every `every_s` seconds on average. Raises ValueError for 10 times the average or more.
    """
    calm = (1 - 0.1 * times) / 0.9
    if calm <= 0:
        raise ValueError(f"bursts of {times:g} times the average leave nothing between them")
    random = np.random.default_rng(seed)
    arrived, now, bursting = [], 0.0, False
    while now < seconds:
        lasts = random.exponential(every_s * (0.1 if bursting else 0.9))
        rate = rate_rps * (times if bursting else calm)
        arrived.append(now + random.uniform(0, lasts, random.poisson(rate * lasts)))
        now, bursting = now + lasts, not bursting
    all_s = np.sort(np.concatenate(arrived))
    return all_s[all_s < seconds]

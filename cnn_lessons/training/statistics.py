"""Is one better than the other? Two ways of training, compared seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev


@dataclass(frozen=True)
class Difference:
    """How much better the second is: the mean over pairs, and how far chance alone moves it.

    `mean` and `error`, its standard error, are in the units of what was compared; `pairs` counts
    the seeds. It is `shown` if the mean is more than two standard errors from 0. Otherwise nothing
    is said: neither that there is a difference, nor that there is none.
    """

    mean: float
    error: float
    pairs: int

    @property
    def shown(self) -> bool:
        return abs(self.mean) > 2 * self.error

    def __str__(self) -> str:
        """Of shares (0 to 1), in points of a hundred."""
        verdict = "shown" if self.shown else "not shown"
        return (
            f"{100 * self.mean:+.1f} ± {100 * self.error:.1f} points, {self.pairs} seeds: {verdict}"
        ).replace("-", "−")


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Second minus first, paired: each place in the two sequences is one seed.

    What a seed does to both, an easy start or a lucky order of the pictures, falls out of the
    difference; so it is surer than comparing two means. The standard error is the standard
    deviation of the differences (n - 1 in the denominator) over the root of their number.
    Raises ValueError for sequences of different length, and for fewer than two pairs.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "first and second must have as many values, two or more, one a seed; "
            f"got {len(first)} and {len(second)}"
        )
    gains = [b - a for a, b in zip(first, second)]
    return Difference(mean(gains), stdev(gains) / sqrt(len(gains)), len(gains))

"""Is one better than the other? Two ways of training, compared seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev


@dataclass(frozen=True)
class Difference:
    """How much better the second is: the mean over pairs, and how far chance alone moves it.

    `mean` and `error`, its standard error, are in the units of what was compared; `pairs` counts
    what `of` names, seeds or pictures. It is `shown` if the mean is more than two standard errors
    from 0. Otherwise nothing is said: neither that there is a difference, nor that there is none.

    Chance alone is called `shown` in 11.6 % of comparisons of 5 pairs, one in nine, in 7.7 % with
    10 and in 4.6 % with thousands: Student's t of 4, 9 and more degrees of freedom beyond 2.
    """

    mean: float
    error: float
    pairs: int
    of: str = "seeds"

    @property
    def shown(self) -> bool:
        return abs(self.mean) > 2 * self.error

    def __str__(self) -> str:
        """Of shares (0 to 1), in points of a hundred."""
        verdict = "shown" if self.shown else "not shown"
        found = f"{100 * self.mean:+.1f} ± {100 * self.error:.1f} points"
        return f"{found}, {self.pairs:,} {self.of}: {verdict}".replace("-", "−")


def difference(first: Sequence[float], second: Sequence[float], of: str = "seeds") -> Difference:
    """Second minus first, paired: each place in the two sequences is one seed, or one picture.

    What a seed does to both, an easy start or a lucky order of the pictures, falls out of the
    difference; so it is surer than comparing two means. The standard error is the standard
    deviation of the differences (n - 1 in the denominator) over the root of their number.
    For right and wrong answers (1 and 0) to the same pictures this is McNemar's test of 1947.
    Raises ValueError for sequences of different length, and for fewer than two pairs.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            f"first and second must have as many values, two or more, one for each of the {of}; "
            f"got {len(first)} and {len(second)}"
        )
    gains = [float(b) - float(a) for a, b in zip(first, second)]
    return Difference(mean(gains), stdev(gains) / sqrt(len(gains)), len(gains), of)

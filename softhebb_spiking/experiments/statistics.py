"""From numbers of several seeds to an interval, and from intervals to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from softhebb_spiking._intervals import students_interval

HOLDS, DOES_NOT, UNDECIDED = "holds", "does not hold", "undecided"


@dataclass(frozen=True)
class Interval:
    """Mean over seeds with Student's interval of 95 %, which assumes normal scatter of seeds.

    Attributes
    ----------
    mean, low, high : float
        Mean and the ends of the interval; with one seed the ends are minus and plus infinity.
    n_seeds : int
        Seeds.
    """

    mean: float
    low: float
    high: float
    n_seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Return the interval of one number for each seed."""
        mean, low, high = students_interval(values)
        return cls(float(mean), float(low), float(high), len(values))

    def against(self, bound: float) -> str:
        """Return whether the mean is greater than `bound`, as far as the interval can tell."""
        if self.low > bound:
            return HOLDS
        return DOES_NOT if self.high < bound else UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number that a claim is judged by, or that only stands beside it.

    Attributes
    ----------
    name : str
        What was measured.
    unit : str
        Its unit, as printed behind it.
    values : tuple of float
        One for each seed.
    must_exceed : float or None
        The claim holds if the mean is greater; None for a number that only informs.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    must_exceed: float | None = None

    @property
    def interval(self) -> Interval:
        """Mean and interval over seeds."""
        return Interval.of(self.values)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; ends of the interval that are not known are None."""
        found = {
            name: value if math.isfinite(value) else None
            for name, value in asdict(self.interval).items()
        }
        judged = {} if self.must_exceed is None else {"verdict": self.verdict}
        return {**asdict(self), **found, **judged}

    @property
    def verdict(self) -> str:
        """What this number alone says of the claim."""
        return UNDECIDED if self.must_exceed is None else self.interval.against(self.must_exceed)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper on one network.

    Attributes
    ----------
    number : int
        1 to 7, as in `softhebb_spiking.experiments.CLAIMS`.
    network : str
        The rung that was tried.
    measures : tuple of Measure
        What was measured.
    """

    number: int
    network: str
    measures: tuple[Measure, ...]

    @property
    def deciding(self) -> tuple[Measure, ...]:
        """The measures that the verdict rests on."""
        return tuple(one for one in self.measures if one.must_exceed is not None)

    @property
    def verdict(self) -> str:
        """Holds if all numbers that decide say so, does not if one says so, else undecided."""
        found = {one.verdict for one in self.deciding}
        if DOES_NOT in found:
            return DOES_NOT
        return HOLDS if found == {HOLDS} else UNDECIDED

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "claim": self.number,
            "network": self.network,
            "verdict": self.verdict,
            "measures": [one.as_dict() for one in self.measures],
        }

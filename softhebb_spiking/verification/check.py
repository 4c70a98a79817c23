"""One line of evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


def brief(number: float | None) -> str:
    """Return a number in print: four decimals around 1, else four digits."""
    if number is None:
        return "–"
    if 0.1 <= abs(number) < 10.0:
        return f"{number:.4f}".rstrip("0").rstrip(".")
    return f"{number:.4g}"


@dataclass(frozen=True, kw_only=True)
class Check:
    """A measured number, the bound it must keep, and where the bound comes from.

    Attributes
    ----------
    name : str
        "<group>/<what>", unique together with `rungs`.
    rungs : tuple of str
        The implementations compared.
    statistic : str
        What was measured, in words.
    value : float
        The number.
    low, high : float or None
        The value must lie in [low, high]; None leaves a side open.
    bound_from : str
        Where the bound comes from.
    """

    name: str
    rungs: tuple[str, ...]
    statistic: str
    value: float
    low: float | None = None
    high: float | None = None
    bound_from: str

    @property
    def passed(self) -> bool:
        """Whether the value keeps the bound; NaN does not."""
        above = self.low is None or self.value >= self.low
        below = self.high is None or self.value <= self.high
        return bool(above and below and self.value == self.value)

    @property
    def bound(self) -> str:
        """The bound in print."""
        if self.low is None:
            return f"≤ {brief(self.high)}"
        if self.high is None:
            return f"≥ {brief(self.low)}"
        return f"in [{brief(self.low)}, {brief(self.high)}]"

    def as_dict(self) -> dict[str, Any]:
        """Return the check as plain data for JSON."""
        return {
            "name": self.name,
            "rungs": list(self.rungs),
            "statistic": self.statistic,
            "value": _finite(self.value),
            "bound": [_finite(self.low), _finite(self.high)],
            "bound_from": self.bound_from,
            "passed": self.passed,
        }


def _finite(number: float | None) -> float | None:
    """Return the number, or None where JSON has no word for it."""
    return number if number is not None and math.isfinite(number) else None

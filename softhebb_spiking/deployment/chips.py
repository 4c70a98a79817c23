"""Limits and costs of the chips, read from one data file that has a source for each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from softhebb_spiking.validation import check_choice

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHIPS = ("loihi1", "loihi2")


@dataclass(frozen=True)
class Figure:
    """A number, where it comes from, and how sure it is.

    Attributes
    ----------
    value : float
        The number.
    unit : str
        What it counts.
    source : str
        Where it was published.
    certainty : {"published", "second-hand", "assumed"}
        How sure it is.
    """

    value: float
    unit: str
    source: str
    certainty: str


@dataclass(frozen=True)
class Chip:
    """What a plan needs to know of a chip.

    Attributes
    ----------
    key, name : str
        As it is asked for, and as it is called.
    neuron_programs, graded_spikes : bool
        Whether neurons can have programs of their own, and spikes payloads.
    learning_factors : int
        2: spikes at both ends of a synapse; 3: also what the neuron reports.
    limits, memory, energy, time : dict of str to Figure
        Limits by resource; bits that things take; picojoules of operations; microseconds.
    """

    key: str
    name: str
    neuron_programs: bool
    graded_spikes: bool
    learning_factors: int
    limits: dict[str, Figure]
    memory: dict[str, Figure]
    energy: dict[str, Figure]
    time: dict[str, Figure]

    def limit(self, resource: str) -> float:
        """Return a limit, infinite where none was published."""
        found = self.limits.get(resource)
        return float("inf") if found is None else found.value

    def bits(self, thing: str) -> int:
        """Return how many bits a thing takes, 0 where nothing is known."""
        found = self.memory.get(thing)
        return 0 if found is None else int(found.value)


def load_chip(key: str) -> Chip:
    """Return a chip.

    Parameters
    ----------
    key : {"loihi1", "loihi2"}
        Which.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    check_choice("chip", key, CHIPS)
    given = _data()[key]

    def figures(part: str) -> dict[str, Figure]:
        return {
            name: Figure(
                value=float(entry["value"]),
                unit=entry.get("unit", ""),
                source=entry["source"],
                certainty=entry["certainty"],
            )
            for name, entry in given.get(part, {}).items()
        }

    return Chip(
        key=key,
        name=given["name"],
        neuron_programs=given["neuron_programs"],
        graded_spikes=given["graded_spikes"],
        learning_factors=given["learning_factors"],
        limits=figures("limits"),
        memory=figures("memory"),
        energy=figures("energy"),
        time=figures("time"),
    )


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "chips.toml").read_text())

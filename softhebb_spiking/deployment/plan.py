"""Will it fit, what does it take, and what is the smallest change if it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.deployment.activity import Activity, measured_activity
from softhebb_spiking.deployment.chips import Chip, load_chip
from softhebb_spiking.deployment.layout import Layout
from softhebb_spiking.deployment.placement import (
    PER_CORE,
    Core,
    place,
    synapse_bits,
)
from softhebb_spiking.deployment.violations import Violation, forbidden
from softhebb_spiking.recording import Recording


@dataclass(frozen=True)
class Plan:
    """A network on a chip.

    Attributes
    ----------
    chip : Chip
    layout : Layout
    cores : list of Core
    violations : list of Violation
        Empty if it fits.
    activity : Activity or None
        If a recording was given.
    """

    chip: Chip
    layout: Layout
    cores: list[Core]
    violations: list[Violation]
    activity: Activity | None

    @property
    def n_chips(self) -> int:
        """Chips that the cores, and on some chips the synapses, need."""
        return len(self.chips)

    @cached_property
    def chips(self) -> list[list[Core]]:
        """The cores of each chip, evenly spread over as few as their limits allow."""
        n_chips = 1
        while True:
            size = math.ceil(len(self.cores) / n_chips)
            found = [self.cores[i : i + size] for i in range(0, len(self.cores), size)]
            fits = all(
                self.synapses_on(chip) <= self.chip.limit("synapses_per_chip") for chip in found
            )
            if size <= self.chip.limit("cores_per_chip") and (fits or size == 1):
                return found
            n_chips += 1

    def synapses_on(self, cores: list[Core]) -> int:
        """Return the synapses of some cores."""
        fan_in = {
            name: sum(item.fan_in for item in self.layout.into(name))
            for name in self.layout.populations
        }
        return sum(core.n_neurons * fan_in[core.population] for core in cores)

    @property
    def n_synapses(self) -> int:
        """Synapses on the chip."""
        return sum(_n_synapses(self.layout, item) for item in self.layout.projections)

    def synapse_memory(self, *, learning: bool) -> float:
        """Return the bits of all synapses, with or without what learning needs beside weights.

        Axons and traces, which each core needs, are in the use of cores.
        """
        total = 0.0
        for item in self.layout.projections:
            held = replace(item, plastic=learning and item.learnable)
            total += _n_synapses(self.layout, item) * synapse_bits(held, self.chip)
        return total

    def energy_nj(self) -> dict[str, float] | None:
        """Return nanojoules per sample by operation, None where no figure was published."""
        if self.activity is None or not self.chip.energy:
            return None
        neurons = sum(core.n_neurons for core in self.cores)
        operations = {
            "synaptic_operation": sum(self.activity.synaptic_operations.values()),
            "neuron_update": neurons * self.layout.steps,
            "weight_update": self.activity.weight_updates,
        }
        return {
            name: 1e-3 * operations[name] * figure.value
            for name, figure in self.chip.energy.items()
        }

    def usage(self) -> dict[str, dict[str, float]]:
        """Return, for each resource of a core, its use on the fullest core, and its limit."""
        found = {}
        for name in PER_CORE:
            if name in self.chip.limits:
                used = max(core.used[name] for core in self.cores)
                found[name] = {"used": used, "limit": self.chip.limit(name)}
        return found


def plan(
    make_layout: Callable[..., Layout],
    chip: str,
    *,
    recording: Recording | None = None,
    circuit: LifCircuitParams | None = None,
    max_chips: int | None = None,
    **changes: Any,
) -> Plan:
    """Place a network on a chip, and say what does not fit.

    Parameters
    ----------
    make_layout : callable
        Returns the layout; accepts ``n_units`` and ``n_features`` for those of another network,
        and ``weight_bits`` and ``epoch``. With it the smallest change that fits is found.
    chip : {"loihi1", "loihi2"}
        The chip.
    recording : Recording, optional
        Of the network's inputs and units, for activity and energy.
    circuit : LifCircuitParams, optional
        For the activity of a LIF circuit.
    max_chips : int, optional
        Chips there are; by default those of the largest system that was built.
    **changes
        For `make_layout`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the chip is unknown.
    """
    target = load_chip(chip)
    layout = make_layout(**changes)
    cores = place(layout, target)
    activity = None if recording is None else measured_activity(layout, recording, circuit)
    found = Plan(target, layout, cores, [], activity)
    available = target.limit("chips") if max_chips is None else max_chips
    found.violations.extend(forbidden(layout, target))
    found.violations.extend(_overfull(found, make_layout, changes, available))
    return found


def _n_synapses(layout: Layout, item: Any) -> int:
    n_post = layout.populations[item.post].n_neurons
    return int(n_post * item.fan_in)


def _overfull(
    found: Plan, make_layout: Callable[..., Layout], changes: dict[str, Any], available: float
) -> list[Violation]:
    """Return the limits of cores and chips that are exceeded, and what would fit."""
    chip, violations = found.chip, []
    for name, size in found.usage().items():
        if size["used"] <= size["limit"]:
            continue
        fullest = max(found.cores, key=lambda core: core.used[name])
        change = _smallest_change(name, found, make_layout, changes)
        violations.append(
            Violation(
                name.replace("_", " "),
                f"core of {fullest.population} ({fullest.n_neurons} neurons)",
                size["used"],
                size["limit"],
                change,
            )
        )
    if found.n_chips > available:
        units = _largest("n_units", lambda p: p.n_chips <= available, chip, make_layout, changes)
        change = f"use at most {units} units" if units else "not a single unit fits"
        violations.append(
            Violation(f"{chip.name} chips", "whole network", found.n_chips, available, change)
        )
    return violations


def _smallest_change(
    resource: str, found: Plan, make_layout: Callable[..., Layout], changes: dict[str, Any]
) -> str:
    """Return what makes a resource of the fullest core suffice; each change has been tried."""

    def fits(other: Plan) -> bool:
        size = other.usage()[resource]
        return size["used"] <= size["limit"]

    chip, layout = found.chip, found.layout
    n_features = layout.populations["inputs"].n_neurons
    options = []
    for bits in range(max(item.weight_bits for item in layout.projections) - 1, 0, -1):
        if fits(_other(chip, make_layout, changes | {"weight_bits": bits})):
            options.append(f"use {bits} bits a weight")
            break
    for parts in range(2, _MAX_PARTS + 1):
        part = math.ceil(n_features / parts)
        if fits(_other(chip, make_layout, changes | {"n_features": part})):
            options.append(f"split the fan-in over {parts} relay populations")
            break
    for name in ("n_features", "n_units"):
        largest = _largest(name, fits, chip, make_layout, changes)
        if largest:
            options.append(f"use at most {largest} {name.removeprefix('n_')}")
    return ", or ".join(options) or "no smaller network of this form fits"


_MAX_PARTS = 64


def _other(chip: Chip, make_layout: Callable[..., Layout], changes: dict[str, Any]) -> Plan:
    layout = make_layout(**changes)
    return Plan(chip, layout, place(layout, chip), [], None)


def _largest(
    name: str,
    fits: Callable[[Plan], bool],
    chip: Chip,
    make_layout: Callable[..., Layout],
    changes: dict[str, Any],
) -> int:
    """Return the largest number of units or features that fits, by bisection; 0 if none does."""
    layout = make_layout(**changes)
    high = layout.n_units if name == "n_units" else layout.populations["inputs"].n_neurons
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if fits(_other(chip, make_layout, changes | {name: middle})):
            low = middle
        else:
            high = middle
    return low

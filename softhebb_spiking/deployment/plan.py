"""Will it fit, what does it take, and what is the smallest change if it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softhebb_spiking.circuit import counting_thresholds, current_decay
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.deployment.chips import Chip, load_chip
from softhebb_spiking.deployment.layout import Layout
from softhebb_spiking.deployment.placement import (
    PER_CORE,
    Core,
    input_axons,
    place,
    synapse_bits,
)
from softhebb_spiking.recording import Recording


@dataclass(frozen=True)
class Violation:
    """A limit that a network exceeds.

    Attributes
    ----------
    resource, where : str
        What there is too little of, and where.
    number, limit : float
        What is needed, and what there is.
    change : str
        The smallest change that fits.
    """

    resource: str
    where: str
    number: float
    limit: float
    change: str

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.resource} {self.number:.10g}, limit {self.limit:.10g}; "
            f"{self.change}"
        )


@dataclass(frozen=True)
class Activity:
    """What happens in a presentation, in the mean over samples of a recording.

    Attributes
    ----------
    n_samples : int
        Samples that were measured.
    spikes, synaptic_operations : dict of str to float
        By population, and by projection ("pre → post").
    weight_updates : float
        Weights that a learning rule changes.
    """

    n_samples: int
    spikes: dict[str, float]
    synaptic_operations: dict[str, float]
    weight_updates: float


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
        by_cores = len(self.cores) / self.chip.limit("cores_per_chip")
        by_synapses = self.n_synapses / self.chip.limit("synapses_per_chip")
        return math.ceil(max(by_cores, by_synapses))

    @property
    def n_synapses(self) -> int:
        """Synapses on the chip."""
        return sum(_n_synapses(self.layout, item) for item in self.layout.projections)

    def synapse_memory(self, *, learning: bool) -> float:
        """Return the bits of all synapses, with or without what learning needs beside weights."""
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
    found.violations.extend(_forbidden(layout, target))
    found.violations.extend(_overfull(found, make_layout, changes, available))
    return found


def _n_synapses(layout: Layout, item: Any) -> int:
    n_post = layout.populations[item.post].n_neurons
    return int(n_post * item.fan_in)


def _forbidden(layout: Layout, chip: Chip) -> list[Violation]:
    """Return what the chip cannot do however large it is."""
    found = []
    programs = {item.program for item in layout.populations.values() if not item.external}
    own = sorted(programs - {"LIF"})
    if own and not chip.neuron_programs:
        found.append(
            Violation(
                "neuron programs",
                ", ".join(own),
                len(own),
                0,
                "use the circuit of LIF neurons: --form circuit --learning none or two-factor",
            )
        )
    factors = {"none": 0, "two_factor": 2, "three_factor": 3}[layout.learning]
    if factors > chip.learning_factors:
        found.append(
            Violation(
                "factors of the learning rule",
                "plastic synapses",
                factors,
                chip.learning_factors,
                "use --form circuit --learning two-factor, or --learning none and weights "
                "learned elsewhere",
            )
        )
    if any(item.graded for item in layout.projections) and not chip.graded_spikes:
        found.append(
            Violation(
                "graded spikes",
                "inputs",
                1,
                0,
                "use the circuit of LIF neurons without "
                "dendrites (--form circuit --learning none or two-factor)",
            )
        )
    bits = max(item.weight_bits for item in layout.projections)
    if bits > chip.limit("weight_bits"):
        limit = chip.limit("weight_bits")
        change = f"use {limit:.0f} bits"
        found.append(Violation("bits of a weight", "synapses", bits, limit, change))
    if layout.learning != "none" and layout.epoch > chip.limit("learning_epoch"):
        limit = chip.limit("learning_epoch")
        found.append(
            Violation(
                "learning epoch", "plastic synapses", layout.epoch, limit, f"use {limit:.0f} steps"
            )
        )
    return found


def _overfull(
    found: Plan, make_layout: Callable[..., Layout], changes: dict[str, Any], available: float
) -> list[Violation]:
    """Return the limits of cores and chips that are exceeded, and what would fit."""
    chip, violations = found.chip, []
    for name, size in found.usage().items():
        if size["used"] <= size["limit"]:
            continue
        fullest = max(found.cores, key=lambda core: core.used[name])
        change = _smallest_change(name, fullest.population, found, make_layout, changes)
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
        change = _fewer("n_units", lambda p: p.n_chips <= available, chip, make_layout, changes)
        violations.append(
            Violation(f"{chip.name} chips", "whole network", found.n_chips, available, change)
        )
    return violations


def _smallest_change(
    resource: str,
    population: str,
    found: Plan,
    make_layout: Callable[..., Layout],
    changes: dict[str, Any],
) -> str:
    """Return what makes a resource of the fullest core suffice."""

    def fits(other: Plan) -> bool:
        size = other.usage()[resource]
        return size["used"] <= size["limit"]

    chip, layout = found.chip, found.layout
    options = []
    axons = sum(input_axons(item, layout) for item in layout.into(population))
    if resource == "input_axons_per_core":
        parts = math.ceil(axons / chip.limit(resource))
        options.append(f"split the fan-in over {parts} relay populations")
    dense = max(layout.into(population), key=lambda item: item.fan_in)
    if resource in ("synapse_bits_per_core", "memory_bits_per_core"):
        for bits in range(dense.weight_bits - 1, 0, -1):
            if fits(_other(chip, make_layout, changes | {"weight_bits": bits})):
                options.append(f"use {bits} bits a weight")
                break
        parts = math.ceil(found.usage()[resource]["used"] / chip.limit(resource))
        options.append(f"split the fan-in over {parts} relay populations")
    name = "n_units" if resource == "output_axons_per_core" else "n_features"
    options.append(_fewer(name, fits, chip, make_layout, changes))
    return ", or ".join(options)


def _other(chip: Chip, make_layout: Callable[..., Layout], changes: dict[str, Any]) -> Plan:
    layout = make_layout(**changes)
    return Plan(chip, layout, place(layout, chip), [], None)


def _fewer(
    name: str,
    fits: Callable[[Plan], bool],
    chip: Chip,
    make_layout: Callable[..., Layout],
    changes: dict[str, Any],
) -> str:
    """Return the largest number of units or features that fits, found by bisection."""
    of_layout = {
        "n_units": ("units", "excitatory"),
        "n_features": ("inputs",),
    }[name]
    layout = make_layout(**changes)
    size = next(layout.populations[p].n_neurons for p in of_layout if p in layout.populations)
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        if fits(_other(chip, make_layout, changes | {name: middle})):
            low = middle
        else:
            high = middle
    if low == 0:
        return f"no number of {name.removeprefix('n_')} fits"
    return f"use at most {low} {name.removeprefix('n_')}"


def measured_activity(
    layout: Layout, recording: Recording, circuit: LifCircuitParams | None = None
) -> Activity:
    """Return spikes and synaptic operations per sample, from what a layer did.

    Parameters
    ----------
    layout : Layout
        The network.
    recording : Recording
        Of inputs and units, all steps.
    circuit : LifCircuitParams, optional
        In a LIF circuit, how the inhibitory pool answers to the units' spikes, and how often
        background spikes arrive.

    Returns
    -------
    Activity
    """
    n_samples = len(recording.spike_counts)
    per_sample = 1.0 / n_samples
    outputs = recording.output_spikes
    spikes = {
        "inputs": len(recording.input_spikes) * per_sample,
        "units": len(outputs) * per_sample,
        "pool": float(layout.steps),
    }
    if layout.form == "circuit":
        if circuit is None:
            raise ValueError("the activity of a LIF circuit needs its parameters, circuit=...")
        moments = np.unique(outputs[:, :2], axis=0, return_counts=True)[1]
        counting = np.searchsorted(counting_thresholds(circuit), moments, side="right").sum()
        feed_forward = (
            layout.populations["inhibitory"].n_neurons - counting_thresholds(circuit).size
        )
        spikes = {
            "inputs": spikes["inputs"],
            "excitatory": spikes["units"],
            "dendrites": float(layout.steps * circuit.n_units),
            "inhibitory": counting * per_sample + feed_forward * layout.steps,
            "background": layout.steps
            * circuit.n_background
            * (1.0 - current_decay(circuit))
            / circuit.background_fan_in,
        }
    operations = {
        f"{item.pre} → {item.post}": spikes[item.pre] * layout.fan_out(item)
        for item in layout.projections
    }
    plastic = sum(item.fan_in for item in layout.projections if item.plastic)
    used = {name: count for name, count in spikes.items() if name in layout.populations}
    return Activity(n_samples, used, operations, len(outputs) * per_sample * plastic)

"""Neurons on cores: how many fit on each, and which limit each core comes closest to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from softhebb_spiking.deployment.chips import Chip
from softhebb_spiking.deployment.layout import STATE_WORDS, Layout, Projection

_WORD_BITS = 32
PER_CORE = (
    "neurons_per_core",
    "input_axons_per_core",
    "output_axons_per_core",
    "synapse_bits_per_core",
    "memory_bits_per_core",
)


@dataclass(frozen=True)
class Core:
    """A core, and what it holds.

    Attributes
    ----------
    population : str
        Whose neurons.
    n_neurons : int
        How many.
    used : dict of str to float
        By resource.
    """

    population: str
    n_neurons: int
    used: dict[str, float]


@dataclass(frozen=True)
class Demand:
    """What a population asks of a core: so much at least, and so much for each neuron.

    Attributes
    ----------
    fixed, per_neuron : dict of str to float
        By resource.
    """

    fixed: dict[str, float]
    per_neuron: dict[str, float]

    def used(self, n_neurons: int) -> dict[str, float]:
        """Return what n neurons take."""
        return {name: self.fixed[name] + n_neurons * self.per_neuron[name] for name in self.fixed}


def synapse_bits(projection: Projection, chip: Chip) -> float:
    """Return the bits of one synapse."""
    index = chip.bits("index_bits") if projection.sparse else 0
    return projection.weight_bits + index + projection.plastic * chip.bits("plastic_bits")


def input_axons(projection: Projection, layout: Layout) -> int:
    """Return the input axons of a core that any postsynaptic neuron is on."""
    return 1 if projection.shared_axon else layout.populations[projection.pre].n_neurons


def demand(name: str, layout: Layout, chip: Chip, target_cores: dict[str, int]) -> Demand:
    """Return what a population asks of a core.

    Parameters
    ----------
    name : str
        The population.
    layout : Layout
        The network.
    chip : Chip
        Gives the sizes of things.
    target_cores : dict of str to int
        Cores of each population, to which output axons lead.

    Returns
    -------
    Demand
    """
    axons = header_bits = bits = 0.0
    for item in layout.into(name):
        n = input_axons(item, layout)
        axons += n
        header_bits += n * (chip.bits("axon_header_bits") + item.plastic * chip.bits("trace_bits"))
        bits += item.fan_in * synapse_bits(item, chip)
    targets = sum(target_cores.get(item.post, 1) for item in layout.out_of(name))
    program = layout.populations[name].program
    own_program = 0 if program == "LIF" else chip.bits("program_bits")
    state_bits = STATE_WORDS[program] * _WORD_BITS
    return Demand(
        fixed={
            "neurons_per_core": 0.0,
            "input_axons_per_core": axons,
            "output_axons_per_core": 0.0,
            "synapse_bits_per_core": header_bits,
            "memory_bits_per_core": header_bits + own_program,
        },
        per_neuron={
            "neurons_per_core": 1.0,
            "input_axons_per_core": 0.0,
            "output_axons_per_core": float(targets),
            "synapse_bits_per_core": bits,
            "memory_bits_per_core": bits + state_bits,
        },
    )


def neurons_that_fit(asked: Demand, chip: Chip) -> int:
    """Return how many neurons a core can hold, 0 if not one."""
    n = math.inf
    for name in PER_CORE:
        room = chip.limit(name) - asked.fixed[name]
        if room < asked.per_neuron[name] or room < 0:
            return 0
        if asked.per_neuron[name] > 0:
            n = min(n, room // asked.per_neuron[name])
    return int(n)


def place(layout: Layout, chip: Chip) -> list[Core]:
    """Return the cores of a network, population after population, evenly filled.

    Where a neuron does not fit at all, it has a core to itself that is too full; `violations` of
    a plan then name it. Output axons need the number of cores of their targets, so it is repeated
    until that number no longer changes.

    Parameters
    ----------
    layout : Layout
        The network.
    chip : Chip
        Its limits.

    Returns
    -------
    list of Core
    """
    names = [name for name, item in layout.populations.items() if not item.external]
    counts = dict.fromkeys(names, 1)
    while True:
        found = {}
        for name in names:
            fit = max(1, neurons_that_fit(demand(name, layout, chip, counts), chip))
            n_cores = math.ceil(layout.populations[name].n_neurons / fit)
            found[name] = max(n_cores, counts[name])  # it can only grow, so it ends
        if found == counts:
            break
        counts = found
    cores = []
    for name in names:
        asked = demand(name, layout, chip, counts)
        n_neurons, n_cores = layout.populations[name].n_neurons, counts[name]
        for number in range(n_cores):
            share = n_neurons // n_cores + (number < n_neurons % n_cores)
            if share:
                cores.append(Core(name, share, asked.used(share)))
    return cores

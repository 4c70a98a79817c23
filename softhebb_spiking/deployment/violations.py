"""What a chip cannot do, however many there are of it."""

from __future__ import annotations

from dataclasses import dataclass

from softhebb_spiking.deployment.chips import Chip
from softhebb_spiking.deployment.layout import Layout


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


def forbidden(layout: Layout, chip: Chip) -> list[Violation]:
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

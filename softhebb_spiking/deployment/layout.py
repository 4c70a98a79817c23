"""What has to be placed on a chip: populations of neurons, and projections between them."""

from __future__ import annotations

from dataclasses import dataclass

from softhebb_spiking.circuit import N_FEED_FORWARD, counting_thresholds
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.validation import check_choice

FORMS = ("programs", "circuit")
LEARNING = ("none", "two_factor", "three_factor")

# Words of 32 bits that a neuron of each program keeps between steps; see docs/step_programs.md.
STATE_WORDS = {"SoftWTA": 5, "LateralInhibition": 3, "Dendrite": 3, "LIF": 2}


@dataclass(frozen=True, kw_only=True)
class Population:
    """Neurons of one kind.

    Attributes
    ----------
    name : str
        What they are called.
    n_neurons : int
        How many.
    program : str
        The Process that they run.
    external : bool
        Whether their spikes come from outside the chip: then they need no core.
    """

    name: str
    n_neurons: int
    program: str = "LIF"
    external: bool = False


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Synapses from one population to another.

    Attributes
    ----------
    pre, post : str
        Names of the populations.
    fan_in : int
        Synapses of each postsynaptic neuron.
    weight_bits : int
        Of each weight.
    sparse : bool
        Whether each synapse needs an index.
    shared_axon : bool
        Whether all presynaptic neurons have the same weights, and so arrive by one input axon.
    learnable, plastic : bool
        Whether they hold what the layer learned, and whether they learn on the chip.
    graded : bool
        Whether spikes have payloads.
    """

    pre: str
    post: str
    fan_in: int
    weight_bits: int = 8
    sparse: bool = False
    shared_axon: bool = False
    learnable: bool = False
    plastic: bool = False
    graded: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A network as a chip sees it.

    Attributes
    ----------
    form : {"programs", "circuit"}
        Neuron programs of the package, or stock LIF neurons.
    learning : {"none", "two_factor", "three_factor"}
        What the plastic synapses need.
    epoch : int
        Steps between updates.
    steps : int
        Steps that a sample takes, with the reset step of neuron programs.
    n_units : int
        Units of the layer.
    populations : dict of str to Population
    projections : tuple of Projection
    """

    form: str
    learning: str
    epoch: int
    steps: int
    n_units: int
    populations: dict[str, Population]
    projections: tuple[Projection, ...]

    def into(self, name: str) -> list[Projection]:
        """Return the projections that end at a population."""
        return [item for item in self.projections if item.post == name]

    def out_of(self, name: str) -> list[Projection]:
        """Return the projections that start at a population."""
        return [item for item in self.projections if item.pre == name]

    def fan_out(self, projection: Projection) -> float:
        """Return the synapses that a presynaptic spike reaches, in the mean."""
        n_post = self.populations[projection.post].n_neurons
        if projection.shared_axon:
            return float(n_post)
        n_pre = self.populations[projection.pre].n_neurons
        return n_post * projection.fan_in / n_pre


def layer_layout(
    network: NetworkParams, *, learning: str = "three_factor", weight_bits: int = 8, epoch: int = 1
) -> Layout:
    """Return the layout of a layer of neuron programs: a neuron for each unit, and a pool.

    Parameters
    ----------
    network : NetworkParams
        The layer.
    learning : {"none", "two_factor", "three_factor"}
        Whether synapses learn on the chip.
    weight_bits, epoch : int
        Bits of a weight, and steps between updates.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If it is to learn by two factors.
    """
    check_choice("learning", learning, LEARNING)
    if learning == "two_factor":
        raise ValueError(
            "Neuron programs learn by three factors; two-factor learning is for the circuit of LIF "
            "neurons (--form circuit)."
        )
    populations = (
        Population(name="inputs", n_neurons=network.n_features, external=True),
        Population(name="units", n_neurons=network.n_units, program="SoftWTA"),
        Population(name="pool", n_neurons=1, program="LateralInhibition"),
    )
    projections = (
        Projection(
            pre="inputs",
            post="units",
            fan_in=network.n_features,
            weight_bits=weight_bits,
            learnable=True,
            plastic=learning != "none",
            graded=True,
        ),
        Projection(pre="units", post="pool", fan_in=1, shared_axon=True, graded=True),
        Projection(pre="pool", post="units", fan_in=1, graded=True),
    )
    return Layout(
        form="programs",
        learning=learning,
        epoch=epoch,
        steps=network.presentation_steps + 1,
        n_units=network.n_units,
        populations={item.name: item for item in populations},
        projections=projections,
    )


def circuit_layout(
    circuit: LifCircuitParams,
    *,
    learning: str = "none",
    weight_bits: int = 8,
) -> Layout:
    """Return the layout of the LIF circuit; parameters as for `layer_layout`.

    With the three-factor rule, a dendrite for each unit has the plastic synapses, and sends its
    current to the unit's neurons; else every neuron has synapses of its own.

    Raises
    ------
    ValueError
        If a population of several neurons is to learn by two factors.
    """
    check_choice("learning", learning, LEARNING)
    if learning == "two_factor" and circuit.population_size != 1:
        raise ValueError(
            "Two-factor synapses belong to one neuron each, so population_size must be 1, got "
            f"{circuit.population_size}."
        )
    n_pool = N_FEED_FORWARD + counting_thresholds(circuit).size
    dendrites = learning == "three_factor"
    populations = [
        Population(name="inputs", n_neurons=circuit.n_features, external=True),
        Population(name="background", n_neurons=circuit.n_background, external=True),
        Population(name="excitatory", n_neurons=circuit.n_neurons),
        Population(name="inhibitory", n_neurons=n_pool),
    ]
    if dendrites:
        populations.append(
            Population(name="dendrites", n_neurons=circuit.n_units, program="Dendrite")
        )
    drive = Projection(
        pre="inputs",
        post="dendrites" if dendrites else "excitatory",
        fan_in=circuit.n_features,
        weight_bits=weight_bits,
        learnable=True,
        plastic=learning != "none",
        graded=dendrites,
    )
    projections = [
        drive,
        Projection(
            pre="background", post="excitatory", fan_in=circuit.background_fan_in, sparse=True
        ),
        # Every input, and every neuron, has the same weights to the pool.
        Projection(pre="inputs", post="inhibitory", fan_in=1, weight_bits=1, shared_axon=True),
        Projection(pre="excitatory", post="inhibitory", fan_in=1, weight_bits=1, shared_axon=True),
        Projection(pre="inhibitory", post="excitatory", fan_in=n_pool),
    ]
    if dendrites:
        projections += [
            Projection(pre="dendrites", post="excitatory", fan_in=1, sparse=True, graded=True),
            Projection(
                pre="excitatory",
                post="dendrites",
                fan_in=circuit.population_size,
                weight_bits=1,
                sparse=True,
            ),
        ]
    return Layout(
        form="circuit",
        learning=learning,
        epoch=1,
        steps=circuit.presentation_steps,
        n_units=circuit.n_units,
        populations={item.name: item for item in populations},
        projections=tuple(projections),
    )

"""The numbers that stock Processes are made with: of a LIF circuit in floats, or in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from softhebb_spiking.circuit import (
    N_FEED_FORWARD,
    THRESHOLDS_PER_OCTAVE,
    background_synapses,
    counting_thresholds,
    current_decay,
    feed_forward_inhibition,
    feedback_per_octave,
    firing_threshold,
    input_spikes,
    psp_height,
)
from softhebb_spiking.circuit_params import CircuitRun
from softhebb_spiking.encoding import spike_thresholds
from softhebb_spiking.fixed_network import FixedNetwork, fixed_network
from softhebb_spiking.fixed_point import (
    DECAY,
    LIF_BIAS,
    LIF_THRESHOLD,
    MAX_SYNAPSE_EXPONENT,
    STATE,
    STATE_BITS,
    SYNAPSE,
    TRACE,
    rounded,
    shared_exponent,
)
from softhebb_spiking.params import FixedPointParams
from softhebb_spiking.philox import PAYLOAD_STREAM, uniform_words
from softhebb_spiking.validation import FloatArray, IntArray

# A synaptic current is shifted by this many bits when a LIF neuron receives it.
_CURRENT_SHIFT = 6
_LARGEST_VOLTAGE = 1.5  # of the drive times the gain; it fluctuates
_HALF_SPIKE = 0.5
_COARSEST = 4.0  # units of current per nat


@dataclass(frozen=True, kw_only=True)
class Synapses:
    """Weights of a `Dense` or `Sparse` Process: what they stand for is weights · 2**exponent.

    Attributes
    ----------
    weights : ndarray or csr_matrix, shape (n_post, n_pre)
        Integers of at most 8 bits and a common sign, or floats.
    exponent : int
        Lava's weight_exp.
    """

    weights: Any
    exponent: int = 0


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """Parameters of a `LIF` Process.

    Attributes
    ----------
    du, dv, vth : float or int
        As in `LIF`: decays of current and voltage, and the threshold.
    bias, bias_exponent : ndarray of shape (n_neurons,)
        Mantissa and exponent of the bias.
    """

    du: float
    dv: float
    vth: float
    bias: Any
    bias_exponent: IntArray


@dataclass(frozen=True, kw_only=True)
class CircuitConstants:
    """All constants of a circuit of stock Processes, in one arithmetic.

    Attributes
    ----------
    current_per_nat : float
        Synaptic current that one nat stands for; 1 in floating point.
    excitatory, inhibitory : Neurons
        The populations, and the pool: neurons that fire while there is input, then those that
        count the layer's spikes.
    inputs : Synapses
        From input spikes to the populations; of a clamped circuit, from its drives.
    background : Synapses
        From background sources to the populations.
    to_pool : Synapses
        From the populations to the pool.
    inputs_to_pool : Synapses
        From input spikes, or drives, to the pool.
    inhibition : Synapses
        From the pool to the populations.
    drive_payload : float
        Payload of a unit of drive per step, if drives are clamped.
    network : FixedNetwork, optional
        In integers and with the three-factor rule: those of the plastic synapses.
    dendrite_factor : float
        With the three-factor rule: payload to the neurons per unit of a dendrite's current.
    """

    current_per_nat: float
    excitatory: Neurons
    inhibitory: Neurons
    inputs: Synapses
    background: Synapses
    to_pool: Synapses
    inputs_to_pool: Synapses
    inhibition: Synapses
    drive_payload: float
    dendrite_factor: float
    network: FixedNetwork | None = None


def circuit_constants(run: CircuitRun) -> CircuitConstants:
    """Return the constants of a circuit in the arithmetic of a run."""
    constants = _in_floats(run)
    return constants if run.fixed is None else _in_integers(constants, run, run.fixed)


def _in_floats(run: CircuitRun) -> CircuitConstants:
    circuit = run.circuit
    leak = 1.0 - current_decay(circuit)
    steps_to_count = counting_thresholds(circuit)
    n_pool = N_FEED_FORWARD + steps_to_count.size
    is_counting = np.arange(n_pool) >= N_FEED_FORWARD
    needed = np.concatenate([np.ones(N_FEED_FORWARD), steps_to_count])
    inhibition = np.where(
        is_counting,
        feedback_per_octave(circuit) / THRESHOLDS_PER_OCTAVE,
        leak * feed_forward_inhibition(circuit) / N_FEED_FORWARD,
    )
    n_sources = circuit.n_features if run.drives is None else circuit.n_units
    return CircuitConstants(
        current_per_nat=1.0,
        excitatory=Neurons(
            du=leak,
            dv=1.0,
            vth=firing_threshold(circuit),
            bias=_bias(run),
            bias_exponent=np.zeros(circuit.n_neurons, np.int64),
        ),
        inhibitory=Neurons(
            du=1.0,
            dv=1.0,
            vth=1.0,  # a neuron that needs n spikes has the bias 1 + 1/2 − n
            bias=1.0 + _HALF_SPIKE - needed,
            bias_exponent=np.zeros(n_pool, np.int64),
        ),
        inputs=Synapses(weights=_input_weights(run)),
        background=Synapses(weights=background_synapses(circuit, run.seed)),
        to_pool=Synapses(weights=np.outer(is_counting, np.ones(circuit.n_neurons))),
        inputs_to_pool=Synapses(weights=np.outer(~is_counting, np.ones(n_sources))),
        inhibition=Synapses(weights=-np.tile(inhibition, (circuit.n_neurons, 1))),
        drive_payload=leak * circuit.gain,
        dendrite_factor=circuit.gain,
    )


def _bias(run: CircuitRun) -> FloatArray:
    """Return the log prior of each neuron, relative to a uniform one."""
    circuit = run.circuit
    if run.log_prior is None:
        return np.zeros(circuit.n_neurons)
    return np.repeat(run.log_prior + math.log(circuit.n_units), circuit.population_size)


def _input_weights(run: CircuitRun) -> FloatArray:
    """Return the synapses of the populations, nats per spike, shape (n_neurons, n_sources)."""
    circuit = run.circuit
    if run.drives is not None:
        of_units = np.eye(circuit.n_units)
    else:
        of_units = run.weights * (circuit.gain * psp_height(circuit))
    return np.repeat(of_units, circuit.population_size, axis=0)


def _in_integers(
    floats: CircuitConstants, run: CircuitRun, fixed: FixedPointParams
) -> CircuitConstants:
    """Return the constants as the integers of a chip, or say what does not fit."""
    circuit = run.circuit
    scale = _current_per_nat(floats, run)
    spikes = np.asarray(floats.inhibitory.bias) * 2**_CURRENT_SHIFT
    network = None
    if run.learning is not None:
        rate = float(np.max(np.asarray(run.learning_rates), initial=0.0))
        network = fixed_network(circuit.network(), fixed, learning_rate=rate)
    return CircuitConstants(
        current_per_nat=scale,
        excitatory=Neurons(
            du=int(DECAY.to_integer("du", floats.excitatory.du)) - 1,  # Lava adds 1 to du
            dv=DECAY.max_integer,
            vth=int(LIF_THRESHOLD.to_integer("threshold", floats.excitatory.vth * scale)),
            **_bias_integers(np.asarray(floats.excitatory.bias) * scale * 2**_CURRENT_SHIFT),
        ),
        inhibitory=Neurons(
            du=DECAY.max_integer,
            dv=DECAY.max_integer,
            vth=1,
            **_bias_integers(spikes),
        ),
        inputs=_synapse_integers(floats.inputs.weights, 1.0 if run.drives is not None else scale),
        background=_synapse_integers(floats.background.weights, scale),
        to_pool=_synapse_integers(floats.to_pool.weights, 1.0),
        inputs_to_pool=_synapse_integers(floats.inputs_to_pool.weights, 1.0),
        inhibition=_synapse_integers(floats.inhibition.weights, scale),
        drive_payload=floats.drive_payload * scale,
        dendrite_factor=0.0 if network is None else circuit.gain * network.drive_unit * scale,
        network=network,
    )


def _current_per_nat(floats: CircuitConstants, run: CircuitRun) -> float:
    """Return the scale: as fine as weights, threshold and currents allow."""
    circuit = run.circuit
    voltages = _LARGEST_VOLTAGE * circuit.gain + circuit.threshold
    shared = max(float(floats.background.weights.max()), float(-floats.inhibition.weights.min()))
    largest_bias = float(np.abs(floats.excitatory.bias).max())
    rooms = [
        2.0 ** (STATE_BITS - _CURRENT_SHIFT) / voltages,
        SYNAPSE.max_integer * 2.0**MAX_SYNAPSE_EXPONENT / shared,
    ]
    if largest_bias > 0.0:
        held = LIF_BIAS.max_integer * 2.0 ** (MAX_SYNAPSE_EXPONENT - _CURRENT_SHIFT)
        rooms.append(held / largest_bias)
    if run.drives is None and run.learning is None and floats.inputs.weights.any():
        rooms.append(SYNAPSE.max_integer / float(floats.inputs.weights.max()))
    if min(rooms) < _COARSEST:
        largest = rounded(
            (2.0 ** (STATE_BITS - _CURRENT_SHIFT) / _COARSEST - circuit.threshold)
            / _LARGEST_VOLTAGE,
            up=False,
        )
        raise ValueError(
            f"gain={circuit.gain:g} does not fit the integers of a chip: one nat would be "
            f"{min(rooms):.3g} units of current, and softmax needs {_COARSEST:g}. The largest gain "
            f"that fits is about {largest:g}; weights far above 1 make it smaller."
        )
    return min(rooms)


def _synapse_integers(weights: Any, scale: float) -> Synapses:
    """Return synapses of 8 bits and a shared exponent."""
    values = weights.data if isinstance(weights, csr_matrix) else weights
    exponent = shared_exponent(np.abs(values) * scale, SYNAPSE, MAX_SYNAPSE_EXPONENT)
    form = replace(SYNAPSE, exponent=exponent)
    sizes = form.to_integer("synaptic weights", np.abs(values) * scale)
    integers = np.where(values < 0, -sizes, sizes)
    if isinstance(weights, csr_matrix):
        integers = csr_matrix((integers, weights.indices, weights.indptr), shape=weights.shape)
    return Synapses(weights=integers, exponent=exponent)


def _bias_integers(values: FloatArray) -> dict[str, Any]:
    """Return mantissas of 13 bits and the smallest exponents that hold them."""
    exponents = np.zeros(values.shape, np.int64)
    while True:
        mantissas = values / np.exp2(exponents)
        too_large = (np.abs(mantissas) > LIF_BIAS.max_integer) & (exponents < MAX_SYNAPSE_EXPONENT)
        if not too_large.any():
            break
        exponents[too_large] += 1
    return {"bias": LIF_BIAS.to_integer("biases", mantissas), "bias_exponent": exponents}


def input_payloads(run: CircuitRun, constants: CircuitConstants) -> IntArray | FloatArray:
    """Return what the inputs send while samples are shown, shape (n_steps, n_sources).

    Spikes of payload 1; to the plastic synapses of dendrites, graded spikes of the height of a
    PSP, in integers rounded at random to even numbers, as a `RateEncoder` sends them; or drives.
    """
    circuit = run.circuit
    if run.drives is not None:
        payloads = np.asarray(run.drives) * constants.drive_payload
        if run.fixed is not None:
            payloads = STATE.to_integer("drives", payloads)
        return np.repeat(payloads, circuit.presentation_steps, axis=0)
    spikes = input_spikes(run)
    if run.learning != "three_factor":
        return spikes
    if constants.network is None:
        return spikes * psp_height(circuit)
    half = psp_height(circuit) * constants.network.payload_per_gain
    units = TRACE.to_integer("half the payload of an input spike", math.floor(half))
    seed: Any = np.uint64(run.seed)
    share = spike_thresholds(np.asarray(half % 1.0))
    for step, fired in enumerate(spikes):
        words = uniform_words(seed, PAYLOAD_STREAM, run.first_sample, step, fired.size)
        fired *= 2 * (units + (words < share))
    return spikes

"""From the description of a network to the integers of a chip: one function, one object."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softhebb_spiking.encoding import (
    psp_decay,
    psp_gain,
    psp_rise,
)
from softhebb_spiking.fixed_learning import LearningConstants, learning_constants
from softhebb_spiking.fixed_point import (
    DECAY,
    DECAY_BITS,
    DOSE_BITS,
    GAIN,
    LOG,
    LOG_FRACTION_BITS,
    LOG_PRIOR,
    OCTAVES_PER_NAT,
    PRIOR_FRACTION_BITS,
    PRIOR_RATE_BITS,
    RATE_FRACTION_BITS,
    STATE,
    TRACE_BITS,
    WEIGHT_BITS,
    FixedPointOverflow,
    Format,
    Multiplier,
    rounded,
)
from softhebb_spiking.params import FixedPointParams, NetworkParams, Run
from softhebb_spiking.validation import FloatArray, IntArray

LAVA_WEIGHT_SEED = 2  # in Lava's code; no parameter changes it

_LARGEST_DRIVE = 1.4  # the drive fluctuates above 1
# A trace saturates where the mean and this many standard deviations of it do not fit.
_TRACE_SIGMAS = 2.0
_SPARE_WEIGHT = 1.3
_PAYLOAD_FRACTION_BITS = 8


@dataclass(frozen=True, kw_only=True)
class FixedNetwork:
    """A network in integers: formats, constants and conversions.

    Attributes
    ----------
    network : NetworkParams
        The network described.
    params : FixedPointParams
        How it is held.
    weight : Format
        Of the weights.
    trace : Format
        Of x1 as learning sees it, in units of the PSP s.
    decay : int
        d in units of 2**−12.
    payload_per_gain : float
        Half the payload of an input spike, per unit of the PSP height g.
    drive_unit : float
        Drive u that one unit of the integer drive stands for.
    octaves_multiplier : Multiplier
        From the integer drive to u/τ in units of 2**−12 octaves.
    neuron_rate_log : int
        log2(r/M), in units of 2**−12 octaves.
    pool_gain : int
        κ in units of 2**−8; 1 with graded inhibition.
    target_log : int
        log2(2r + 1), in units of 2**−12 octaves.
    learning : LearningConstants
        The rule.
    """

    network: NetworkParams
    params: FixedPointParams
    weight: Format
    trace: Format
    decay: int
    payload_per_gain: float
    drive_unit: float
    octaves_multiplier: Multiplier
    neuron_rate_log: int
    pool_gain: int
    target_log: int
    learning: LearningConstants

    def weights(self, weights: FloatArray) -> IntArray:
        """Return weights as integers; clipping is warned of."""
        return np.asarray(self.weight.to_integer("weights", weights))

    def log_prior(self, log_prior: FloatArray) -> IntArray:
        """Return the log prior, given in nats, as integers."""
        return np.asarray(LOG_PRIOR.to_integer("log_prior", log_prior * OCTAVES_PER_NAT))

    def weights_as_float(self, integers: Any) -> FloatArray:
        """Return what integer weights stand for."""
        return np.asarray(self.weight.to_float(integers))

    def log_prior_as_float(self, integers: Any) -> FloatArray:
        """Return what an integer log prior stands for, nats."""
        return np.asarray(LOG_PRIOR.to_float(integers) / OCTAVES_PER_NAT)

    def drive_as_float(self, integers: IntArray) -> FloatArray:
        """Return the drive u that integers stand for."""
        return np.asarray(integers * self.drive_unit)

    def inhibition_as_float(self, integers: IntArray) -> FloatArray:
        """Return the inhibition h that integers stand for, nats."""
        return np.asarray(LOG.to_float(integers) / OCTAVES_PER_NAT)

    def psp_as_float(self, integers: IntArray) -> FloatArray:
        """Return the traces s that integers x1 stand for."""
        return np.asarray(self.trace.to_float(integers))

    def half_payloads(self, samples: FloatArray) -> IntArray:
        """Return half the payload of each sample's spikes, in units of 2**−8.

        An encoder adds a random byte and drops the fraction, so payloads are even, and right in
        the mean. What exceeds a trace is brought into its range.
        """
        halves = psp_gain(samples, self.network) * self.payload_per_gain
        fine = Format(
            bits=TRACE_BITS + _PAYLOAD_FRACTION_BITS,
            exponent=-_PAYLOAD_FRACTION_BITS,
            signed=False,
        )
        return np.asarray(fine.to_integer("half the payload of an input spike", halves))

    def doses(self, learning_rates: FloatArray) -> IntArray:
        """Return updates per output spike for each learning rate η, in units of 2**−24."""
        updates = np.asarray(learning_rates) * self.learning.dose_per_rate
        return np.asarray(Format(bits=40, exponent=-DOSE_BITS).to_integer("doses", updates))

    def effective_learning_rate(self, learning_rate: float) -> float:
        """Return the η that the integers achieve where η is asked for."""
        dose = float(self.doses(np.array(learning_rate))) * 2.0**-DOSE_BITS
        return dose / self.learning.dose_per_rate

    def prior_rates(self, prior_learning_rates: FloatArray) -> IntArray:
        """Return η_b,s in units of 2**−16 of the log prior's least bit, per output spike."""
        per_spike = np.asarray(prior_learning_rates) / (
            self.network.total_rate * self.network.n_steps
        )
        exponent = -PRIOR_FRACTION_BITS - RATE_FRACTION_BITS
        fine = Format(bits=PRIOR_RATE_BITS, exponent=exponent, signed=False)
        return np.asarray(fine.to_integer("prior rates", per_spike * OCTAVES_PER_NAT))


def fixed_network(
    network: NetworkParams, params: FixedPointParams, *, learning_rate: float = 0.0
) -> FixedNetwork:
    """Return the integers of a network.

    Parameters
    ----------
    network : NetworkParams
        The network.
    params : FixedPointParams
        How it is to be held.
    learning_rate : float
        The largest η that is to be learned with; it must fit the rule.

    Returns
    -------
    FixedNetwork

    Raises
    ------
    ValueError
        If a parameter does not fit its format; the message has the nearest that fits.
    """
    _check_epoch(network, params)
    decay = _decay(network)
    weight = _weight_format(network, params)
    _check_trace(network, params, weight)
    trace = _trace_format(network, params, weight)
    payload_per_gain = _trace_gain(network, params.learning_epoch) * 2.0**-trace.exponent
    # A spike's payload is 2 c, with c the half that is added to the trace.
    drive_unit = math.ldexp(1.0, weight.exponent) / (2.0 * payload_per_gain)
    _check_temperature(network, drive_unit)
    octaves_per_unit = drive_unit * OCTAVES_PER_NAT / network.temperature
    return FixedNetwork(
        network=network,
        params=params,
        weight=weight,
        trace=trace,
        decay=decay,
        payload_per_gain=payload_per_gain,
        drive_unit=drive_unit,
        octaves_multiplier=Multiplier.nearest(math.ldexp(octaves_per_unit, LOG_FRACTION_BITS)),
        neuron_rate_log=int(
            LOG.to_integer("total_rate", math.log2(network.total_rate / network.population_size))
        ),
        pool_gain=int(
            GAIN.to_integer(
                "inhibition_gain",
                network.inhibition_gain if network.inhibition == "feedback" else 1.0,
            )
        ),
        target_log=int(LOG.to_integer("total_rate", math.log2(2.0 * network.total_rate + 1.0))),
        learning=learning_constants(network, params, weight, trace, drive_unit, learning_rate),
    )


def fixed_network_of(run: Run) -> FixedNetwork:
    """Return the integers of the network of a run, which has `fixed` given."""
    if run.fixed is None:
        raise ValueError("the run is in floating point; give it FixedPointParams as `fixed`.")
    return fixed_network(run.network, run.fixed, learning_rate=float(max(run.learning_rates)))


def warn_of_overflows(n_overflows: int) -> None:
    """Warn if drives were held at the largest 24-bit number in a run."""
    if n_overflows:
        warnings.warn(
            f"drive: {n_overflows} times a drive did not fit {STATE} and was held at the nearest "
            "that fits. Raise weight_exponent or trace_exponent.",
            FixedPointOverflow,
            stacklevel=3,
        )


def trace_tau(network: NetworkParams) -> float:
    """Return the time constant of x1 in steps, as Lava's learning rule wants it."""
    return network.psp_tau_ms / network.dt_ms


def lava_seed(seed: int, first_sample: int) -> int:
    """Return the seed of the random numbers with which Lava's LearningDense rounds traces."""
    return (seed + first_sample) % 2**31


def _check_epoch(network: NetworkParams, params: FixedPointParams) -> None:
    steps = network.presentation_steps + 1
    if steps % params.learning_epoch:
        fitting = [epoch for epoch in range(1, 64) if steps % epoch == 0]
        nearest = min(fitting, key=lambda epoch: abs(epoch - params.learning_epoch))
        raise ValueError(
            f"learning_epoch={params.learning_epoch} does not divide the {steps} steps of a "
            f"presentation and its reset; the nearest that does is {nearest}, or let settle_steps "
            f"+ n_steps be {max(steps // params.learning_epoch, 1) * params.learning_epoch - 1}."
        )


def _weight_format(network: NetworkParams, params: FixedPointParams) -> Format:
    """Return the finest weights that can hold what is likely.

    A weight of a unit vector lies between n**−½, all n inputs alike, and 1, a lone input; the
    default holds the geometric mean of both and 30 % more.
    """
    exponent = params.weight_exponent
    if exponent is None:
        likely = _SPARE_WEIGHT * network.n_features**-0.25
        exponent = math.ceil(math.log2(likely / (2**WEIGHT_BITS - 1)) - 0.03)
    return Format(bits=WEIGHT_BITS, exponent=exponent, signed=False)


def _trace_format(network: NetworkParams, params: FixedPointParams, weight: Format) -> Format:
    """Return the finest traces that seldom saturate for an input as large as a weight can be."""
    exponent = params.trace_exponent
    if exponent is None:
        decay, p = psp_decay(network), network.max_probability
        mean = p / (1.0 - decay)
        spread = math.sqrt(p * (1.0 - p) / (1.0 - decay**2))
        likely = min(1.0, weight.largest) * (1.0 + _TRACE_SIGMAS * spread / mean)
        exponent = math.ceil(math.log2(likely / (2**TRACE_BITS)) - 0.1)
    return Format(bits=TRACE_BITS, exponent=exponent, signed=False)


def _check_trace(network: NetworkParams, params: FixedPointParams, weight: Format) -> None:
    """Raise unless a spike of an input of typical size adds at least half a unit to its trace."""

    def fits(psp_tau_ms: float) -> bool:
        shorter = replace(network, psp_tau_ms=psp_tau_ms)
        psp = network.n_features**-0.5 * (1.0 - psp_decay(shorter)) / network.max_probability
        return math.ldexp(psp, -_trace_format(shorter, params, weight).exponent) >= 0.5

    if fits(network.psp_tau_ms):
        return
    longest, too_long = 0.0, network.psp_tau_ms
    for _ in range(40):
        middle = 0.5 * (longest + too_long)
        longest, too_long = (middle, too_long) if fits(middle) else (longest, middle)
    trace = _trace_format(network, params, weight)
    mend = (
        f"The longest that fits is about {longest:.3g} ms; a smaller max_probability allows longer "
        "ones."
    )
    if longest < 1e-6 * network.dt_ms:
        mend = "None does: give a lower trace_exponent."
    raise ValueError(
        f"psp_tau_ms={network.psp_tau_ms:g} does not fit traces of {trace}: one spike would add "
        f"less than half a unit. {mend}"
    )


def _decay(network: NetworkParams) -> int:
    decay = psp_decay(network)
    if not 0.5 <= math.ldexp(decay, DECAY_BITS) <= DECAY.max_integer + 0.5:
        shortest, longest = (
            -network.dt_ms / math.log(math.ldexp(units, -DECAY_BITS))
            for units in (0.5, DECAY.max_integer + 0.5)
        )
        too_short = network.psp_tau_ms < shortest
        nearest = rounded(shortest, up=True) if too_short else rounded(longest, up=False)
        raise ValueError(
            f"psp_tau_ms={network.psp_tau_ms:g} does not fit a decay of {DECAY}; the nearest that "
            f"fits is {nearest:.4g}."
        )
    return int(DECAY.to_integer("decay", decay))


def _trace_gain(network: NetworkParams, epoch: int) -> float:
    """Return by what a PSP's height is multiplied for what a spike adds to the trace.

    Lava adds a spike to x1 when it arrives and lets all of x1 decay at the end of the epoch, as
    often as the epoch has steps. This makes the mean of x1 that of the PSP.
    """
    decay = psp_decay(network)
    epochs = np.arange(1, (network.presentation_steps + 1) // epoch + 1)
    read = epochs * epoch > network.settle_steps
    # Mean of x1 at the end of each epoch, for one spike of unit height in each step.
    boxes = epoch * decay**epoch * (1.0 - decay ** (epoch * epochs)) / (1.0 - decay**epoch)
    boxes[-1] -= decay**epoch  # the last step is the reset step, without input
    if epoch == 1:  # nor is anything learned in it
        read[-1] = False
    return float(psp_rise(network) / (1.0 - decay) / boxes[read].mean())


def _check_temperature(network: NetworkParams, drive_unit: float) -> None:
    """Raise unless log-intensities and the multiplier that makes them fit."""
    lowest = _LARGEST_DRIVE * OCTAVES_PER_NAT / LOG.largest
    # The multiplier that makes u/τ may not be smaller than 2**−24.
    highest = math.ldexp(drive_unit * OCTAVES_PER_NAT, LOG_FRACTION_BITS + 24)
    if not lowest <= network.temperature <= highest:
        # Rounded to the inside, so that what is printed does fit.
        too_low = network.temperature < lowest
        nearest = rounded(lowest, up=True) if too_low else rounded(highest, up=False)
        raise ValueError(
            f"temperature={network.temperature:g} does not fit: u/τ, in octaves, is held in {LOG}. "
            f"The nearest that fits is {nearest:.4g}."
        )

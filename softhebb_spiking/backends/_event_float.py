"""The event rung in floating point: what the compiled steps need, and what they leave."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from softhebb_spiking._compiled import padded
from softhebb_spiking.backends._event_draws import (
    BLOCK_UNITS,
    candidate_surplus,
    new_intensities,
    new_spikes,
)
from softhebb_spiking.backends._event_exact import EXACT_KERNEL
from softhebb_spiking.backends._event_inputs import Given, new_inputs, nothing_given
from softhebb_spiking.backends._event_network import INHIBITION_CODES, Constants, Layer, Task
from softhebb_spiking.backends._event_product import row_width
from softhebb_spiking.backends._event_record import nothing_recorded
from softhebb_spiking.backends._event_stepwise import LARGEST_SHARED_RHO, STEPWISE_KERNEL
from softhebb_spiking.backends._threads import run_threads, shares
from softhebb_spiking.encoding import input_thresholds, psp_decay, psp_gain
from softhebb_spiking.params import NetworkParams, Run
from softhebb_spiking.validation import FloatArray, IntArray

PRECISIONS = {"single": np.float32, "double": np.float64}
# Threads that learn together wait for each other twice a step; below this it does not pay.
_FEWEST_UNITS_OF_A_THREAD = 1024


class FloatEngine:
    """Presents the samples of a run in floating point.

    Parameters
    ----------
    run : Run
        Without `fixed`.
    precision : {"single", "double"}
        Of weights and drives.
    n_threads : int
        Threads at most. Samples are shared out if nothing is learned, units otherwise.

    Attributes
    ----------
    n_threads : int
        Threads that present the samples.
    """

    def __init__(self, run: Run, precision: str, n_threads: int) -> None:
        self._run = run
        self._dtype = PRECISIONS[precision]
        self._constants = _constants(run.network, self._dtype)
        scales = np.ones(run.network.n_units) if run.weight_scales is None else run.weight_scales
        self._scales = scales.astype(self._dtype)
        self._columns = _columns(run.weights, self._scales)
        self._log_prior = run.log_prior.copy()
        self._bias = self._log_prior.astype(self._dtype)
        if run.restart:
            self._initial = self._columns.copy(), self._scales.copy(), self._log_prior.copy()
            self._changes = np.zeros(run.weights.shape), np.zeros(run.network.n_units)
        per_spike = 1.0 / (run.network.total_rate * run.network.n_steps)
        self._task = Task(
            thresholds=input_thresholds(run.samples, run.network.max_probability),
            gains=psp_gain(run.samples, run.network),
            learning_rates=run.learning_rates * per_spike,
            prior_learning_rates=run.prior_learning_rates * per_spike,
            seed=run.seed,
            first_sample=run.first_sample,
        )
        if run.learn:
            n_threads = min(n_threads, max(1, run.network.n_units // _FEWEST_UNITS_OF_A_THREAD))
        self.n_threads = n_threads
        self._kernel = EXACT_KERNEL if run.network.inhibition == "exact" else STEPWISE_KERNEL
        self._layers = [self._layer() for _ in range(1 if run.learn else n_threads)]
        self._inputs = [
            (
                new_inputs(run.network.n_features),
                self._kernel.new_scratch(run.network, self._dtype),
            )
            for _ in range(n_threads)
        ]
        self.probes = {name: np.zeros(shape) for name, shape in run.probe_shapes().items()}

    def present_many(self, begin: int, end: int, spike_counts: IntArray) -> None:
        """Show samples begin … end − 1, of which nothing is kept but their counts."""
        nothing = nothing_given(), nothing_recorded(np.float64)
        n_threads = self.n_threads

        def part(thread: int) -> bool:
            members: tuple[Any, ...]
            if self._run.learn:
                members = self._layers[0], *self._inputs[thread], self._task, begin, end
                position = thread, n_threads
            else:
                bounds = shares(begin, end, n_threads)[thread]
                members = self._layers[thread], *self._inputs[thread], self._task, *bounds
                position = 0, 1
            return bool(
                self._kernel.present(self._constants, *members, *nothing, spike_counts, *position)
            )

        self._layers[0].arrivals[:] = 0
        if not all(run_threads(part, n_threads)):
            raise RuntimeError(
                "a thread of the event engine was lost: the others waited for it for tens of "
                "seconds. Run with n_threads=1, or on a machine that is less busy."
            )

    def present_one(
        self, sample: int, given: Given, record: dict[str, IntArray], spike_counts: IntArray
    ) -> None:
        """Show one sample and keep what the run wants of it."""
        kept = record | {name: values[sample] for name, values in self.probes.items()}
        wanted = nothing_recorded(np.float64)._replace(wanted=bool(kept), **kept)
        members = self._layers[0], *self._inputs[0], self._task, sample, sample + 1
        self._kernel.present(self._constants, *members, given, wanted, spike_counts, 0, 1)
        if self._run.restart:
            self._restart()

    def _restart(self) -> None:
        """Collect the changes that a sample made, and take them back."""
        columns, scales, log_prior = self._initial
        self._changes[0][:] += self._product(self._columns, self._scales)
        self._changes[0][:] -= self._product(columns, scales)
        self._changes[1][:] += self._log_prior - log_prior
        self._columns[:], self._scales[:], self._log_prior[:] = columns, scales, log_prior
        self._bias[:] = log_prior

    def _product(self, columns: Any, scales: Any) -> FloatArray:
        """Return the weights in double precision, where the product of two singles is exact."""
        weights = columns[:, : scales.size].T
        product = np.empty(weights.shape)
        for part in _parts(scales.size):
            np.multiply(
                weights[part], scales[part, np.newaxis], out=product[part], dtype=np.float64
            )
        return product

    def weights(self) -> FloatArray:
        """Return the weights, shape (n_units, n_features)."""
        if not self._run.learn:
            return self._run.weights.copy()
        if self._run.restart:
            return self._run.weights + self._changes[0]
        return self._product(self._columns, self._scales)

    def weight_scales(self) -> FloatArray:
        """Return the factor that each unit's weights are stored with, shape (n_units,)."""
        return self._scales.astype(np.float64)

    def log_prior(self) -> FloatArray:
        """Return the log prior, nats."""
        return self._run.log_prior + self._changes[1] if self._run.restart else self._log_prior

    def probes_as_float(self) -> dict[str, FloatArray]:
        """Return what was probed."""
        return self.probes

    def _layer(self) -> Layer:
        n_units, dtype = self._run.network.n_units, self._dtype
        n_drives, width = self._kernel.n_drives, self._columns.shape[1]
        return Layer(
            columns=self._columns,
            scales=self._scales,
            log_prior=self._log_prior,
            bias=self._bias,
            u=padded(n_drives * width, dtype).reshape(n_drives, width),
            intensities=new_intensities(n_units, dtype),
            spikes=new_spikes(n_units),
            pool=padded(3, np.float64),
            arrivals=padded(1, np.int64),
        )


def _columns(weights: FloatArray, scales: FloatArray) -> FloatArray:
    """Return weights over scales, by input, in the precision of the scales."""
    n_units, n_features = weights.shape
    columns = np.zeros((n_features, row_width(n_units)), scales.dtype)
    for part in _parts(n_units):
        columns[:, part] = (weights[part] / scales[part, np.newaxis]).T
    return columns


def _parts(n_units: int) -> Iterator[slice]:
    """Yield units part by part: to turn a large matrix as a whole takes memory and time."""
    for start in range(0, n_units, BLOCK_UNITS):
        yield slice(start, min(start + BLOCK_UNITS, n_units))


def _constants(net: NetworkParams, dtype: Any) -> Constants:
    exact = net.inhibition == "exact"
    neuron_rate = net.total_rate / net.population_size
    largest_rho = neuron_rate if exact else LARGEST_SHARED_RHO
    return Constants(
        inhibition=INHIBITION_CODES[net.inhibition],
        inhibition_gain=float(net.inhibition_gain),
        population_size=int(net.population_size),
        total_rate=float(net.total_rate),
        settle_steps=int(net.settle_steps),
        n_steps=int(net.presentation_steps),
        decay=psp_decay(net),
        surplus=candidate_surplus(largest_rho),
        log_neuron_rate=math.log(neuron_rate),
        concentration=dtype(1.0 / net.temperature),
        unit_decay=dtype(psp_decay(net)),
    )

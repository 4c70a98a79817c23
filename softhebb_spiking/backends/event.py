"""The event rung: the network of `docs/model.md`, compiled, working only where spikes are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softhebb_spiking.backends._event_fixed import FixedEngine
from softhebb_spiking.backends._event_kernel import (
    EXACT,
    FEEDBACK,
    GRADED,
    Constants,
    Probes,
    present,
)
from softhebb_spiking.encoding import (
    draw_presentation,
    input_probabilities,
    psp_decay,
    psp_gain,
    spike_rows,
    spike_thresholds,
)
from softhebb_spiking.params import INHIBITIONS, NetworkParams, Run, RunResult
from softhebb_spiking.validation import FloatArray, IntArray

_INHIBITION_CODES = dict(zip(INHIBITIONS, (FEEDBACK, GRADED, EXACT), strict=True))


def simulate(run: Run, *, progress: Callable[[int], None] | None = None) -> RunResult:
    """Run the network on the compiled event engine.

    Parameters
    ----------
    run : Run
        What to do.
    progress : callable, optional
        Called with the number of samples done after each.

    Returns
    -------
    RunResult
    """
    n_samples = len(run.samples)
    engine = FloatEngine(run) if run.fixed is None else FixedEngine(run)
    spike_counts = np.zeros((n_samples, run.network.n_units), np.int64)
    input_rows: list[IntArray] = []
    output_rows: list[IntArray] = []
    sample_of = _SampleSpikes(run)

    for sample in range(n_samples):
        starts, indices = sample_of.inputs(sample)
        counts, clamped = sample_of.output_counts(sample)
        engine.present(sample, starts, indices, counts, clamped)
        spike_counts[sample] = counts[run.network.settle_steps :].sum(axis=0)
        if run.keep_spikes:
            input_rows.append(spike_rows(sample, starts, indices))
            output_rows.append(_count_rows(sample, counts))
        if progress is not None:
            progress(sample + 1)

    empty = np.empty((0, 3), np.int64)
    return RunResult(
        spike_counts=spike_counts,
        weights=engine.weights(),
        log_prior=engine.log_prior(),
        input_spikes=np.concatenate([empty, *input_rows]),
        output_spikes=np.concatenate([empty, *output_rows]),
        probes=engine.probes_as_float(),
    )


class FloatEngine:
    """Presents the samples of a run in floating point.

    Parameters
    ----------
    run : Run
        Without `fixed`.
    """

    def __init__(self, run: Run) -> None:
        net = self._net = run.network
        self._run = run
        self._constants = _constants(net)
        self._columns = np.array(run.weights.T, order="C")  # a copy also where .T is contiguous
        self._scales = np.ones(net.n_units)
        self._log_prior = run.log_prior.copy()
        self._initial = self._columns.copy(), self._log_prior.copy()
        self._changes = np.zeros_like(self._columns), np.zeros_like(self._log_prior)
        self._gains = psp_gain(run.samples, net)
        self._probes = {name: _probe_array(name, run) for name in run.probes}

    def present(
        self, sample: int, starts: IntArray, indices: IntArray, counts: IntArray, clamped: bool
    ) -> None:
        """Show one sample of the run."""
        run = self._run
        per_spike = 1.0 / (self._net.total_rate * self._net.n_steps)
        present(
            self._constants,
            self._columns,
            self._scales,
            self._log_prior,
            starts,
            indices,
            self._gains[sample],
            counts,
            clamped,
            run.learning_rates[sample] * per_spike,
            run.prior_learning_rates[sample] * per_spike,
            run.seed,
            run.first_sample + sample,
            _sample_probes(self._probes, sample),
        )
        if run.restart:
            columns, log_prior = self._initial
            self._changes[0][:] += self._columns * self._scales - columns
            self._changes[1][:] += self._log_prior - log_prior
            self._columns[:], self._scales[:], self._log_prior[:] = columns, 1.0, log_prior

    def weights(self) -> FloatArray:
        """Return the weights, shape (n_units, n_features)."""
        return np.ascontiguousarray((self._columns * self._scales + self._changes[0]).T)

    def log_prior(self) -> FloatArray:
        """Return the log prior, nats."""
        return self._log_prior + self._changes[1]

    def probes_as_float(self) -> dict[str, FloatArray]:
        """Return what was probed."""
        return self._probes


class _SampleSpikes:
    """Hands out the spikes of one presentation at a time: given ones, or new draws."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._thresholds = spike_thresholds(
            input_probabilities(run.samples, run.network.max_probability)
        )
        samples = np.arange(len(run.samples) + 1)
        if run.input_spikes is not None:
            self._input_bounds = np.searchsorted(run.input_spikes[:, 0], samples)
        if run.output_spikes is not None:
            self._output_bounds = np.searchsorted(run.output_spikes[:, 0], samples)

    def inputs(self, sample: int) -> tuple[IntArray, IntArray]:
        run = self._run
        steps = run.network.presentation_steps
        if run.input_spikes is None:
            number = run.first_sample + sample
            drawn: tuple[IntArray, IntArray] = draw_presentation(
                self._thresholds[sample], steps, run.seed, number
            )
            return drawn
        rows = run.input_spikes[self._input_bounds[sample] : self._input_bounds[sample + 1]]
        return np.searchsorted(rows[:, 1], np.arange(steps + 1)), rows[:, 2].copy()

    def output_counts(self, sample: int) -> tuple[IntArray, bool]:
        run = self._run
        counts = np.zeros((run.network.presentation_steps, run.network.n_units), np.int64)
        if run.output_spikes is None:
            return counts, False
        rows = run.output_spikes[self._output_bounds[sample] : self._output_bounds[sample + 1]]
        np.add.at(counts, (rows[:, 1], rows[:, 2]), 1)
        return counts, True


def _constants(net: NetworkParams) -> Constants:
    return Constants(
        concentration=1.0 / net.temperature,
        inhibition=_INHIBITION_CODES[net.inhibition],
        inhibition_gain=float(net.inhibition_gain),
        population_size=int(net.population_size),
        total_rate=float(net.total_rate),
        settle_steps=int(net.settle_steps),
        decay=psp_decay(net),
    )


def _probe_array(name: str, run: Run) -> FloatArray:
    net = run.network
    widths = {"drive": (net.n_units,), "inhibition": (), "psp": (net.n_features,)}
    return np.zeros((len(run.samples), net.n_steps, *widths[name]))


def _sample_probes(probes: dict[str, FloatArray], sample: int) -> Probes:
    off = {"drive": np.empty((0, 0)), "inhibition": np.empty(0), "psp": np.empty((0, 0))}
    views = {name: probes[name][sample] if name in probes else off[name] for name in off}
    return Probes(**views)


def _count_rows(sample: int, counts: IntArray) -> IntArray:
    steps, units = np.nonzero(counts)
    repeats = counts[steps, units]
    return np.column_stack(
        [np.full(repeats.sum(), sample), np.repeat(steps, repeats), np.repeat(units, repeats)]
    )

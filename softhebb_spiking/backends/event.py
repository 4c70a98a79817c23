"""The event rung: the network of `docs/model.md`, compiled, working only where spikes are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softhebb_spiking.backends._event_fixed import FixedEngine
from softhebb_spiking.backends._event_float import PRECISIONS, FloatEngine
from softhebb_spiking.backends._event_inputs import Given
from softhebb_spiking.encoding import spike_rows
from softhebb_spiking.params import Run, RunResult
from softhebb_spiking.validation import IntArray, check_choice, check_integer

# Between two looks at the clock and at Ctrl-C.
_SAMPLES_AT_ONCE = 128
# Learning rate of one spike at which rounding to 24 bits loses some per cent of a change.
_FINEST_RATE_IN_SINGLE = 2.0**-20
_MAX_THREADS = 256


def simulate(
    run: Run,
    *,
    precision: str | None = None,
    n_threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Run the network on the compiled event engine.

    Parameters
    ----------
    run : Run
        What to do.
    precision : {"single", "double"}, optional
        Floating point of weights and drives. By default single, but double where single would be
        too coarse: with tiny learning rates, and in runs that are clamped or start each sample
        anew, which are there to be compared to the last digits.
    n_threads : int
        Threads at most, up to 256. Without learning they share the samples; a network of some
        thousand units that learns is shared by units. Results are the same, bit for bit.
    progress : callable, optional
        Called with the number of samples done, every now and then and at the end.

    Returns
    -------
    RunResult
    """
    clamped = run.input_spikes is not None and run.output_spikes is not None
    precision = precision or _fitting_precision(run, clamped)
    check_choice("precision", precision, tuple(PRECISIONS))
    check_integer("n_threads", n_threads, 1, _MAX_THREADS)
    if not run.learn:
        n_threads = min(n_threads, max(1, len(run.samples)))
    engine: FloatEngine | FixedEngine
    if run.fixed is None:
        engine = FloatEngine(run, precision, n_threads)
    else:
        engine = FixedEngine(run, n_threads)
    n_samples = len(run.samples)
    spike_counts = np.zeros((n_samples, run.network.n_units), np.int64)
    spikes = _KeptSpikes(run)
    one_by_one = clamped or run.restart or run.keep_spikes or bool(run.probes)
    one_by_one |= run.input_spikes is not None or run.output_spikes is not None
    for begin in range(0, n_samples, _SAMPLES_AT_ONCE):
        end = min(begin + _SAMPLES_AT_ONCE, n_samples)
        if one_by_one:
            for sample in range(begin, end):
                record = spikes.buffers()
                engine.present_one(sample, spikes.given(sample), record, spike_counts)
                spikes.keep(sample, record)
        else:
            engine.present_many(begin, end, spike_counts)
        if progress is not None:
            progress(end)
    return RunResult(
        spike_counts=spike_counts,
        weights=engine.weights(),
        log_prior=engine.log_prior(),
        input_spikes=np.concatenate(spikes.input_rows),
        output_spikes=np.concatenate(spikes.output_rows),
        probes=engine.probes_as_float(),
        weight_scales=engine.weight_scales(),
    )


def _fitting_precision(run: Run, clamped: bool) -> str:
    net = run.network
    rates = np.maximum(run.learning_rates, run.prior_learning_rates)
    of_a_spike = rates.max(initial=0.0) / (net.total_rate * net.n_steps)
    too_fine = 0.0 < of_a_spike < _FINEST_RATE_IN_SINGLE
    return "double" if clamped or run.restart or too_fine else "single"


class _KeptSpikes:
    """Hands out the given spikes of one presentation at a time, and keeps what is wanted."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.input_rows = [np.empty((0, 3), np.int64)]
        self.output_rows = [np.empty((0, 3), np.int64)]
        samples = np.arange(len(run.samples) + 1)
        if run.input_spikes is not None:
            self._input_bounds = np.searchsorted(run.input_spikes[:, 0], samples)
        if run.output_spikes is not None:
            self._output_bounds = np.searchsorted(run.output_spikes[:, 0], samples)

    def given(self, sample: int) -> Given:
        """Return the spikes of a sample that are not to be drawn."""
        run, steps = self._run, self._run.network.presentation_steps
        starts = inputs = np.empty(0, np.int64)
        counts = np.empty((0, 0), np.int64)
        if run.input_spikes is not None:
            rows = run.input_spikes[self._input_bounds[sample] : self._input_bounds[sample + 1]]
            starts, inputs = np.searchsorted(rows[:, 1], np.arange(steps + 1)), rows[:, 2].copy()
        if run.output_spikes is not None:
            counts = np.zeros((steps, run.network.n_units), np.int64)
            rows = run.output_spikes[self._output_bounds[sample] : self._output_bounds[sample + 1]]
            np.add.at(counts, (rows[:, 1], rows[:, 2]), 1)
        return Given(input_starts=starts, inputs=inputs, output_counts=counts)

    def buffers(self) -> dict[str, IntArray]:
        """Return where the spikes of the next sample are written, if they are wanted."""
        if not self._run.keep_spikes:
            return {}
        net = self._run.network
        return {
            "input_starts": np.zeros(net.presentation_steps + 1, np.int64),
            "inputs": np.zeros(net.presentation_steps * net.n_features, np.int64),
            "output_counts": np.zeros((net.presentation_steps, net.n_units), np.int64),
        }

    def keep(self, sample: int, record: dict[str, IntArray]) -> None:
        """Keep what was written to the buffers."""
        if record:
            starts = record["input_starts"]
            self.input_rows.append(spike_rows(sample, starts, record["inputs"][: starts[-1]]))
            self.output_rows.append(_count_rows(sample, record["output_counts"]))


def _count_rows(sample: int, counts: IntArray) -> IntArray:
    steps, units = np.nonzero(counts)
    repeats = counts[steps, units]
    return np.column_stack(
        [np.full(repeats.sum(), sample), np.repeat(steps, repeats), np.repeat(units, repeats)]
    )

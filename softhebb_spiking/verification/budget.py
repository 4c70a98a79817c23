"""The error budget: from floating point to integers, one rounding after the other.

Every row switches on one rounding more and asks again: how far are spike counts from the softmax
posterior, how large is the mean update per spike, and how much does what is learned know? The last
rows are the chip's arithmetic, so they give the fixed rung's own numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.backends import event
from softhebb_spiking.backends._event_fixed import LavaRandoms, integer_constants
from softhebb_spiking.data import Dataset
from softhebb_spiking.encoding import (
    draw_presentation,
    input_thresholds,
    psp_decay,
    psp_gain,
)
from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.fixed_network import FixedNetwork, fixed_network_of
from softhebb_spiking.fixed_point import (
    DOSE_BITS,
    OCTAVES_PER_NAT,
    PRIOR_FRACTION_BITS,
    RATE_FRACTION_BITS,
)
from softhebb_spiking.params import FixedPointParams, NetworkParams, Run, RunResult
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.validation import FloatArray, unit_norm_samples
from softhebb_spiking.verification._budget_kernel import (
    BudgetState,
    RealConstants,
    Switches,
    show,
)
from softhebb_spiking.verification._plan import FIXED, Ladder, Simulator, reading_network
from softhebb_spiking.verification._statistics import (
    cosine,
    normalized_counts,
    slope_through_origin,
    total_variation,
)
from softhebb_spiking.verification.check import Check

OFF = Switches(*[False] * 6)
# What is switched on from row to row, in this order; each stays on.
ROWS: tuple[tuple[str, str], ...] = (
    ("weights", "8-bit weights"),
    ("traces", "7-bit traces"),
    ("exponential", "exponential by table"),
    ("inhibition", "integer inhibition"),
    ("compare", "16-bit random compare"),
    ("stochastic", "stochastic rounding"),
)
PER_SYNAPSE, SHARED = f"+ {ROWS[-1][1]}", "+ one random number for all"
ENGINE = "(rung)"
LEARNING_RATE = 0.1
UPDATE_LEARNING_RATE = 0.01
_UPDATE_SAMPLES = 20
_N_BLOCKS = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the budget.

    Attributes
    ----------
    name : str
        What was switched on last.
    total_variation : float
        Mean distance of spike counts and softmax posterior, frozen weights.
    slope, cosine : float
        Of the mean update against the rate update, per realised output spike.
    slope_error : float
        Standard error of the slope, from blocks of presentations.
    accuracy : float
        Of what this arithmetic learned, units named by labels, read in floating point.
    """

    name: str
    total_variation: float
    slope: float
    slope_error: float
    cosine: float
    accuracy: float


def simulate(run: Run, switches: Switches) -> RunResult:
    """Run a network with some of the roundings of `run.fixed`.

    Parameters
    ----------
    run : Run
        With `fixed` given, spike feedback, and drawn spikes.
    switches : Switches
        Roundings that are on.

    Returns
    -------
    RunResult
        Counts, weights and log prior; output spikes if the run keeps them.

    Raises
    ------
    ValueError
        If the run has another inhibition, or spikes given.
    """
    net = run.network
    given = run.input_spikes is not None or run.output_spikes is not None
    if net.inhibition != "feedback" or given:
        raise ValueError("the error budget runs spike feedback with drawn spikes only.")
    fixed = fixed_network_of(run)
    constants, real = integer_constants(fixed), _real_constants(fixed)
    start = _initial_state(run, fixed, switches)
    state = BudgetState(start.weights.copy(), start.log_prior.copy())
    changes = np.zeros_like(start.weights)
    counts = np.zeros((len(run.samples), net.presentation_steps, net.n_units), np.int64)
    thresholds = input_thresholds(run.samples, net.max_probability)
    halves = 256.0 * psp_gain(run.samples, net) * fixed.payload_per_gain
    if switches.traces:
        halves = fixed.half_payloads(run.samples).astype(np.float64)
    randoms = LavaRandoms(run)
    doses = 2.0**DOSE_BITS * run.learning_rates * fixed.learning.dose_per_rate
    if switches.stochastic:
        doses = fixed.doses(run.learning_rates).astype(np.float64)
    prior_rates = _prior_rates(run)
    if switches.inhibition:
        prior_rates = fixed.prior_rates(run.prior_learning_rates).astype(np.float64)
    for sample in range(len(run.samples)):
        number = run.first_sample + sample
        starts, indices = draw_presentation(
            thresholds[sample], net.presentation_steps, run.seed, number
        )
        show(
            switches,
            constants,
            real,
            state,
            starts,
            indices,
            halves[sample],
            counts[sample],
            doses[sample],
            prior_rates[sample],
            run.seed,
            number,
            randoms.next_presentation(),
        )
        if run.restart:
            changes += state.weights - start.weights
            state.weights[:], state.log_prior[:] = start.weights, start.log_prior
    weights = run.weights + fixed.weights_as_float(changes) if run.restart else None
    return RunResult(
        spike_counts=counts[:, net.settle_steps :].sum(axis=1),
        weights=fixed.weights_as_float(state.weights) if weights is None else weights,
        log_prior=fixed.log_prior_as_float(state.log_prior),
        output_spikes=np.repeat(np.argwhere(counts), counts[counts > 0], axis=0)
        if run.keep_spikes
        else np.empty((0, 3), np.int64),
    )


def _real_constants(fixed: FixedNetwork) -> RealConstants:
    net = fixed.network
    units = 2.0**12
    return RealConstants(
        decay=psp_decay(net),
        octaves_per_unit=units * fixed.drive_unit * OCTAVES_PER_NAT / net.temperature,
        neuron_rate_log=units * math.log2(net.total_rate / net.population_size),
        pool_gain=net.inhibition_gain,
        target_log=units * math.log2(2.0 * net.total_rate + 1.0),
        y2_per_unit=fixed.learning.y2_multiplier.value * fixed.learning.equilibrium_norm**2,
    )


def _initial_state(run: Run, fixed: FixedNetwork, switches: Switches) -> BudgetState:
    """Return weights and log prior in units of their least bits, rounded where that is on."""
    weights = np.ldexp(run.weights, -fixed.weight.exponent)
    log_prior = np.ldexp(run.log_prior * OCTAVES_PER_NAT, PRIOR_FRACTION_BITS)
    if switches.stochastic:
        weights = fixed.weights(run.weights).astype(np.float64)
    if switches.inhibition:
        log_prior = fixed.log_prior(run.log_prior).astype(np.float64)
    return BudgetState(weights, log_prior)


def _prior_rates(run: Run) -> FloatArray:
    net = run.network
    per_spike = run.prior_learning_rates / (net.total_rate * net.n_steps)
    scale = 2.0 ** (PRIOR_FRACTION_BITS + RATE_FRACTION_BITS)
    return np.asarray(per_spike * OCTAVES_PER_NAT * scale)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every row is asked, from the same weights and the same samples.

    Attributes
    ----------
    data : Dataset
        The data.
    posterior, update, learning : Run
        Frozen weights; mean updates at fixed weights; learning from all samples once.
    """

    data: Dataset
    posterior: Run
    update: Run
    learning: Run

    @classmethod
    def prepare(
        cls,
        data: Dataset,
        *,
        n_units: int,
        n_train: int,
        n_posterior: int,
        n_repeats: int,
        seed: int,
        fixed: FixedPointParams,
    ) -> Task:
        """Train a rate network for the questions about fixed weights, and make the runs.

        Parameters
        ----------
        data : Dataset
            The data.
        n_units : int
            Units.
        n_train, n_posterior : int
            Samples that are learned from, and that are read with frozen weights.
        n_repeats : int
            Presentations of each of the samples whose mean update is measured.
        seed : int
            Key of everything random.
        fixed : FixedPointParams
            The integers.
        """
        X, X_test = (unit_norm_samples(part) for part in (data.X_train[:n_train], data.X_test))
        rate = SoftHebb(n_units, random_state=seed).fit(X)
        read = reading_network(X.shape[1], n_units, rate.temperature)
        shown = np.tile(X_test[:_UPDATE_SAMPLES], (n_repeats, 1))
        start = SoftHebb(n_units, random_state=seed, learning_rate=0.0).fit(X)
        uniform = np.full(n_units, -np.log(n_units))

        def run(
            network: NetworkParams,
            samples: FloatArray,
            weights: FloatArray,
            rates: FloatArray,
            **options: Any,
        ) -> Run:
            return Run(
                network=network,
                samples=samples,
                weights=weights,
                log_prior=uniform,
                learning_rates=rates,
                prior_learning_rates=np.zeros(len(samples)),
                seed=seed,
                keep_spikes=False,
                fixed=fixed,
                **options,
            )

        short = replace(read, n_steps=50)
        falling = LEARNING_RATE * (1.0 - np.arange(len(X)) / len(X))
        frozen = np.zeros(min(n_posterior, len(X_test)))
        constant = np.full(len(shown), UPDATE_LEARNING_RATE)
        return cls(
            data=data,
            posterior=run(read, X_test[: frozen.size], rate.weights_, frozen),
            update=run(read, shown, rate.weights_, constant, restart=True),
            learning=run(short, X, start.weights_, falling),
        )


def task_for(ladder: Ladder) -> Task:
    """Return the task of a size that suits a verification."""
    sizes = ladder.sizes
    return Task.prepare(
        ladder.data,
        n_units=sizes.n_units,
        n_train=sizes.budget_train,
        n_posterior=sizes.posterior,
        n_repeats=sizes.budget_repeats,
        seed=ladder.seed,
        fixed=FixedPointParams(),
    )


def checks(rows: Sequence[Row]) -> list[Check]:
    """Demand that the rows with all roundings on are the fixed rung's own numbers."""
    by_name = {row.name: row for row in rows}
    found = []
    for last, own in ((PER_SYNAPSE, f"{PER_SYNAPSE} {ENGINE}"), (SHARED, f"{SHARED} {ENGINE}")):
        differ = [
            name
            for name in ("total_variation", "slope", "slope_error", "cosine", "accuracy")
            if getattr(by_name[last], name) != getattr(by_name[own], name)
        ]
        found.append(
            Check(
                name=f"error budget/sums up, {last.removeprefix('+ ')}",
                rungs=(FIXED,),
                statistic="measures in which the budget's last row and the rung itself differ",
                value=float(len(differ)),
                high=0.0,
                bound_from="exact: with all roundings on, the arithmetic is the rung's",
            )
        )
    return found


def error_budget(task: Task, progress: Callable[[str], object] | None = None) -> list[Row]:
    """Return the rows: floating point, one rounding more in each, and the fixed rung itself.

    Parameters
    ----------
    task : Task
        What every row is asked.
    progress : callable, optional
        Called with the name of each row before it is measured.

    Returns
    -------
    list of Row
        The first from the event rung in floating point. With all roundings on, a random number
        for each synapse or Lava's one for all, there is a row each from here and from the rung.
    """
    simulators: list[tuple[str, Simulator]] = [
        ("floating point", lambda run: event.simulate(replace(run, fixed=None)))
    ]
    on = OFF
    for switch, name in ROWS:
        on = on._replace(**{switch: True})
        simulators.append((f"+ {name}", partial(simulate, switches=on)))
    simulators += [
        (f"{PER_SYNAPSE} {ENGINE}", event.simulate),
        (SHARED, partial(simulate_shared, switches=on)),
        (f"{SHARED} {ENGINE}", partial(simulate_shared, switches=None)),
    ]
    rows = []
    for name, simulator in simulators:
        if progress is not None:
            progress(name)
        rows.append(_measure(name, task, simulator))
    return rows


def simulate_shared(run: Run, switches: Switches | None) -> RunResult:
    """Run with one random number for all synapses: here, or without switches on the event rung."""
    shared = replace(run, fixed=FixedPointParams(rounding="shared"))
    return event.simulate(shared) if switches is None else simulate(shared, switches)


def _measure(name: str, task: Task, simulator: Simulator) -> Row:
    read = task.posterior
    u = theory.drive(read.samples, read.weights)
    y = theory.posterior(u, read.log_prior, read.network.temperature)
    counts = simulator(read).spike_counts
    blocks = [_mean_update(block, simulator(block)) for block in _blocks(task.update)]
    slopes = [slope_through_origin(target, measured) for target, measured in blocks]
    target, measured = (np.sum(part, axis=0) for part in zip(*blocks, strict=True))
    return Row(
        name=name,
        total_variation=float(total_variation(normalized_counts(counts), y).mean()),
        slope=slope_through_origin(target, measured),
        slope_error=float(np.std(slopes, ddof=1) / math.sqrt(len(slopes))),
        cosine=cosine(target, measured),
        accuracy=_accuracy(task, simulator(task.learning)),
    )


def _blocks(run: Run) -> list[Run]:
    """Cut a run with restart into pieces, each with all samples about equally often."""
    edges = np.linspace(0, len(run.samples), _N_BLOCKS + 1).astype(int)
    return [
        replace(
            run,
            samples=run.samples[start:stop],
            learning_rates=run.learning_rates[start:stop],
            prior_learning_rates=run.prior_learning_rates[start:stop],
            first_sample=run.first_sample + int(start),
        )
        for start, stop in pairwise(edges)
    ]


def _mean_update(run: Run, result: RunResult) -> tuple[FloatArray, FloatArray]:
    """Return the rate update at the dose of the spikes drawn, and the measured one."""
    net, w = run.network, run.weights
    u = theory.drive(run.samples, w)
    y = theory.posterior(u, run.log_prior, net.temperature)
    dose = result.spike_counts.sum(axis=1, keepdims=True) / (net.total_rate * net.n_steps)
    target = theory.weight_update(run.samples, u, dose * y, w)
    return target, (result.weights - w) / UPDATE_LEARNING_RATE


def _accuracy(task: Task, result: RunResult) -> float:
    """Return the share of test samples named right by the weights learned, read by softmax."""
    tau = task.learning.network.temperature
    reader = SoftHebb.from_weights(theory.unit_rows(result.weights), temperature=tau)
    shown = len(task.learning.samples)
    named = UnitLabelClassifier(reader).fit(task.data.X_train[:shown], task.data.y_train[:shown])
    return float((named.predict(task.data.X_test) == task.data.y_test).mean())

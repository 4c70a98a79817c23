"""The pictures of a verification, one function each; `softhebb_spiking.plots` draws them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from softhebb_spiking import plots, theory
from softhebb_spiking.backends import event
from softhebb_spiking.encoding import psp_gain
from softhebb_spiking.params import NetworkParams, Run, RunResult
from softhebb_spiking.recording import Recording
from softhebb_spiking.validation import FloatArray, IntArray
from softhebb_spiking.verification import expected_update, learning
from softhebb_spiking.verification._statistics import (
    normalized_counts,
    sampling_floor,
    slope_through_origin,
    total_variation,
)
from softhebb_spiking.verification.ladder import Verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_HELD_OUT = 2000
_N_CHUNKS = 20
_POSITIONS: tuple[Literal["original", "active"], ...] = ("original", "active")
# A sample is drawn whose winner gets about this share, so that there is something to share out.
_SHARE_OF_WINNER = 0.6


def figures(verification: Verification) -> dict[str, Figure]:
    """Return the pictures of the report by name; those that need the event rung only with it."""
    import matplotlib

    drawers = {"fields": _fields, "posterior": _posterior, "update": _update}
    if "event" in verification.ladder.rungs:
        drawers |= {"raster": _raster, "convergence": _convergence}
    drawers["likelihood"] = _likelihood
    if verification.budget:
        drawers["budget"] = _budget
    with matplotlib.rc_context(plots.STYLE):
        return {name: _laid_out(draw(verification)) for name, draw in drawers.items()}


def _laid_out(figure: Figure) -> Figure:
    """Return the figure with its Axes where the layout puts them, to six digits.

    The last digits that the layout finds change from one time to the next, and with them names
    inside the picture.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        places = {which: axes.get_position(original=which == "original") for which in _POSITIONS}
        for which, place in places.items():
            axes.set_position(np.round(place.bounds, 6).tolist(), which=which)
    return figure


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _panels(rungs: tuple[str, ...], height: float) -> tuple[Figure, dict[str, Any]]:
    figure = _new_figure(3.6 * len(rungs) + 0.1, height)
    return figure, dict(zip(rungs, figure.subplots(1, len(rungs), squeeze=False)[0], strict=True))


def whole_course(network: NetworkParams, run: Run, sample: int) -> Run:
    """Return a frozen run of one sample of `run` in which settling is probed as well.

    Without settling steps the PSPs would be scaled to reach x sooner, so the weights make up
    for it: spikes, drive and inhibition are those of `run`.
    """
    x = run.samples[sample : sample + 1]
    open_from_onset = replace(network, n_steps=network.presentation_steps, settle_steps=0)
    scale = psp_gain(x, network)[0] / psp_gain(x, open_from_onset)[0]
    return replace(
        run,
        network=open_from_onset,
        samples=x,
        weights=run.weights * scale,
        learning_rates=np.zeros(1),
        prior_learning_rates=np.zeros(1),
        first_sample=run.first_sample + sample,
        probes=("drive", "inhibition"),
        keep_spikes=True,
    )


def _raster(verification: Verification) -> Figure:
    ladder, run = verification.ladder, verification.runs["posterior", "event"]
    winner = ladder.rate.predict_proba(run.samples).max(axis=1)
    chosen = whole_course(run.network, run, int(np.abs(winner - _SHARE_OF_WINNER).argmin()))
    result = event.simulate(chosen)
    # Settling was read, for its probes; it is settling all the same.
    recording = replace(Recording.from_result(chosen, result, "event"), params=run.network)
    figure = _new_figure(10.4, 6.6)
    plots.raster(recording, ax=figure.subplots())
    return figure


def _fields(verification: Verification) -> Figure:
    ladder = verification.ladder
    results = {rung: verification.results["learning", rung] for rung in ladder.rungs}
    first = ladder.rungs[0]
    rate = learning.rate_reference(verification.runs["learning", first], results[first])
    weights = {rung: learning.learned(rate, found).weights for rung, found in results.items()}
    figure = _new_figure(10.4, 0.55 + 0.5 * (1 + len(weights)))
    prior = np.exp(rate.log_prior_)
    shape, fields = ladder.data.image_shape, {"rate": rate.weights_, **weights}
    plots.receptive_fields(fields, shape, prior=prior, ax=figure.subplots())
    return figure


def _posterior(verification: Verification) -> Figure:
    ladder = verification.ladder
    figure, panels = _panels(ladder.rungs, 4.1)
    for rung, axes in panels.items():
        counts = verification.results["posterior", rung].spike_counts
        y = ladder.rate.predict_proba(verification.runs["posterior", rung].samples)
        measured = normalized_counts(counts)
        distance = total_variation(measured, y).mean()
        floor = sampling_floor(y, counts.sum(axis=1)).mean()
        title = f"{rung}, {len(y)} samples\nmean TV {distance:.3f}, sampling alone {floor:.3f}"
        plots.posterior_scatter(y, measured, rung=rung, title=title, ax=axes)
    return figure


def _update(verification: Verification) -> Figure:
    ladder = verification.ladder
    figure, panels = _panels(ladder.rungs, 3.9)
    for rung, axes in panels.items():
        blocks = [
            result
            for (group, variant), result in verification.results.items()
            if group == "update" and variant.startswith(f"{rung}:feedback:")
        ]
        n_shown = sum(len(block.spike_counts) for block in blocks)
        target, measured, _, _ = expected_update.mean_update(ladder, rung, blocks)
        target, measured = target / n_shown, measured / n_shown
        slope = slope_through_origin(target, measured)
        title = f"{rung}, {n_shown} presentations"
        look: dict[str, Any] = {"rung": rung, "title": title, "ax": axes}
        plots.update_regression(target, measured, slope=slope, **look)
    return figure


def _convergence(verification: Verification) -> Figure:
    found = expected_update.convergence(verification.ladder, "event", verification.results)
    figure = _new_figure(5.2, 3.9)
    plots.convergence(
        found.spikes_per_psp, found.errors, order=found.order, rung="event", ax=figure.subplots()
    )
    return figure


def _budget(verification: Verification) -> Figure:
    rows = verification.budget
    figure = _new_figure(10.9, 0.3 * len(rows) + 1.0)
    measures = {
        "TV of spike counts and softmax": [row.total_variation for row in rows],
        "slope of the mean update": [row.slope for row in rows],
        "accuracy (%)": [100 * row.accuracy for row in rows],
    }
    panels = figure.subplots(1, len(measures), sharey=True)
    for axes, (measure, values) in zip(panels, measures.items(), strict=True):
        plots.budget([row.name for row in rows], values, measure=measure, ax=axes)
    return figure


def _likelihood(verification: Verification) -> Figure:
    held_out = verification.ladder.X_test[:_MAX_HELD_OUT]
    shown, states = learning_course(verification)
    tau = verification.runs["learning", verification.ladder.rungs[0]].network.temperature
    curves = {
        rung: (shown, np.array([theory.cross_entropy(held_out, *state, tau) for state in course]))
        for rung, course in states.items()
    }
    ends = {}
    for rung in verification.ladder.rungs:
        if rung not in curves:
            result = verification.results["learning", rung]
            value = theory.cross_entropy(held_out, result.weights, result.log_prior, tau)
            ends[rung] = (int(shown[-1]), value)
    figure = _new_figure(5.2, 3.9)
    plots.likelihood(curves, ends, ax=figure.subplots())
    return figure


State = tuple[FloatArray, FloatArray]


def learning_course(verification: Verification) -> tuple[IntArray, dict[str, list[State]]]:
    """Return weights and log priors of the rate and the event rung on the way of learning."""
    first = verification.ladder.rungs[0]
    run, whole = verification.runs["learning", first], verification.results["learning", first]
    # Most is learned from the first samples, so the first chunks are short.
    edges = np.unique(np.rint(len(run.samples) * np.linspace(0, 1, _N_CHUNKS + 1) ** 2).astype(int))
    states: dict[str, list[State]] = {"rate": [(run.weights, run.log_prior)]}
    if "event" in verification.ladder.rungs:
        states["event"] = [(run.weights, run.log_prior)]
    scales = run.weight_scales
    for start, stop in pairwise(edges):
        counts = replace(whole, spike_counts=whole.spike_counts[start:stop])
        rate = learning.rate_reference(_part(run, start, stop, states["rate"][-1]), counts)
        states["rate"].append((rate.weights_, rate.log_prior_))
        if "event" in states:
            part = replace(_part(run, start, stop, states["event"][-1]), weight_scales=scales)
            result: RunResult = event.simulate(part)
            scales = result.weight_scales
            states["event"].append((result.weights, result.log_prior))
    return edges, states


def _part(run: Run, start: int, stop: int, state: State) -> Run:
    """Return a piece of a run that goes on from a state."""
    weights, log_prior = state
    return replace(
        run,
        samples=run.samples[start:stop],
        weights=weights,
        log_prior=log_prior,
        learning_rates=run.learning_rates[start:stop],
        prior_learning_rates=run.prior_learning_rates[start:stop],
        first_sample=run.first_sample + int(start),
    )

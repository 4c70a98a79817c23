"""Pictures show the data they are given, on the Axes they are given, and leave nothing behind."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("matplotlib")

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softhebb_spiking import NetworkParams, Recording, plots
from softhebb_spiking.deployment.layout import layer_layout
from softhebb_spiking.deployment.plan import plan
from softhebb_spiking.deployment_commands import _resized
from softhebb_spiking.experiments.statistics import Interval
from softhebb_spiking.plots.style import as_array, look

PARAMS = NetworkParams(
    n_features=6, n_units=4, temperature=0.5, n_steps=7, settle_steps=3, dt_ms=2.0, psp_tau_ms=6.0
)
N_SAMPLES = 3


def made_up_recording(seed: int = 0, **changes: Any) -> Recording:
    """A recording of random spikes, several of a population in a step among them."""
    rng = np.random.default_rng(seed)
    shape = (N_SAMPLES, PARAMS.presentation_steps)
    counts = rng.poisson(0.8, (*shape, PARAMS.n_units)) * (1 + np.arange(PARAMS.n_units) % 3)
    rows = np.argwhere(counts)
    given: dict[str, Any] = {
        "params": PARAMS,
        "backend": "event",
        "seed": seed,
        "input_spikes": np.argwhere(rng.random((*shape, PARAMS.n_features)) < 0.3),
        "output_spikes": np.repeat(rows, counts[tuple(rows.T)], axis=0),
        "spike_counts": counts[:, PARAMS.settle_steps :].sum(axis=1),
        "weights": rng.random((PARAMS.n_units, PARAMS.n_features)),
        "log_prior": np.log(np.array([0.1, 0.4, 0.2, 0.3])),
        "drive": rng.random((N_SAMPLES, PARAMS.n_steps, PARAMS.n_units)),
        "inhibition": rng.random((N_SAMPLES, PARAMS.n_steps)),
    }
    return Recording(**(given | changes))


RECORDING = made_up_recording()
RNG = np.random.default_rng(1)
POSTERIOR = RNG.dirichlet(np.ones(4), size=30)
MEASURED = RNG.dirichlet(np.ones(4), size=30)
WEIGHTS = RNG.random((5, 6))
CLASSES = RNG.integers(0, 3, 40), RNG.integers(0, 3, 40)
X = np.array([10, 100, 1000])
CURVES = {"rate": RNG.random((4, 3)), "event": RNG.random((2, 3)), "lava": RNG.random((1, 3))}
ROWS = ["floating point", "+ rounding", "integers (rung)"]
PLAN = plan(
    partial(_resized, layer_layout, NetworkParams(n_features=784, n_units=30_000)), "loihi2"
)

PICTURES: dict[str, Callable[..., Axes]] = {
    "raster": partial(plots.raster, RECORDING),
    "population_rates": partial(plots.population_rates, RECORDING),
    "receptive_fields": partial(
        plots.receptive_fields, {"rate": WEIGHTS, "event": WEIGHTS}, (2, 3)
    ),
    "posterior_scatter": partial(plots.posterior_scatter, POSTERIOR, MEASURED),
    "update_regression": partial(plots.update_regression, WEIGHTS, WEIGHTS, slope=1.0),
    "convergence": partial(plots.convergence, X, 1.0 / X, order=-1.0),
    "likelihood": partial(plots.likelihood, {"rate": (X, 1.0 / X)}, {"lava": (1000, 0.1)}),
    "learning_curves": partial(plots.learning_curves, X, CURVES),
    "confusion_matrix": partial(plots.confusion_matrix, *CLASSES),
    "budget": partial(plots.budget, ROWS, [0.1, 0.2, 0.3], measure="accuracy (%)"),
    "core_map": partial(plots.core_map, PLAN),
}
LABELS = {  # abscissa, ordinate
    "raster": ("", "population"),
    "population_rates": ("time from the onset of the first sample (ms)", "rate of a neuron (Hz)"),
    "posterior_scatter": ("softmax posterior of the rate network", "share of output spikes"),
    "update_regression": ("y (x − u w) of the rate network", "mean Δw / η of the spiking network"),
    "convergence": (
        "p_max · τ_psp / dt (spikes of the strongest input in one PSP)",
        "‖mean Δw − rate rule‖ / ‖rate rule‖",
    ),
    "likelihood": ("samples shown", "held-out cross-entropy (nats per sample)"),
    "learning_curves": ("training samples seen", "accuracy (%)"),
    "confusion_matrix": ("predicted class", "true class"),
    "budget": ("accuracy (%)", ""),
}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was shown")

    monkeypatch.setattr(plt, "show", refuse)
    monkeypatch.setattr(Figure, "show", refuse)
    before = dict(matplotlib.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def part(ax: Axes, name: str) -> Axes:
    """The Axes beside `ax` with that label."""
    return next(one for one in ax.figure.axes if one.get_label() == name)


def line(ax: Axes, label: str) -> Any:
    return next(one for one in ax.get_lines() if one.get_label() == label)


def test_every_public_picture_is_tried() -> None:
    no_pictures = {"COLORS", "MARKERS", "STYLE", "demo_figure"}
    equations = {"mosaic", "smoothed_rates"}
    assert set(PICTURES) == set(plots.__all__) - no_pictures - equations


@pytest.mark.parametrize("name", PICTURES)
def test_without_axes_there_is_a_new_figure(name: str) -> None:
    first, second = PICTURES[name](), PICTURES[name]()
    assert isinstance(first, Axes)
    assert first.figure is not second.figure
    assert first.figure.axes[0] is first


@pytest.mark.parametrize("name", PICTURES)
def test_given_axes_are_drawn_on_and_returned(name: str) -> None:
    figure = Figure(layout="constrained")
    ax, other = figure.subplots(1, 2)
    before = len(ax.get_children())
    assert PICTURES[name](ax=ax) is ax
    assert len(ax.get_children()) > before
    assert ax.get_subplotspec().colspan.stop == 1 or ax.get_gridspec().ncols == 1
    assert not other.has_data()


@pytest.mark.parametrize("name", LABELS)
def test_axes_are_labelled_with_units(name: str) -> None:
    ax = PICTURES[name]()
    assert (ax.get_xlabel(), ax.get_ylabel()) == LABELS[name]


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_cut_off(name: str) -> None:
    figure: Any = PICTURES[name]().figure
    figure.draw_without_rendering()
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 > -0.01
    assert drawn.y0 > -0.01
    assert drawn.x1 < whole.x1 + 0.01
    assert drawn.y1 < whole.y1 + 0.01


def test_a_notebook_shows_the_figure() -> None:
    assert plots.budget(ROWS, [1, 2, 3], measure="x")._repr_png_().startswith(b"\x89PNG")


def test_networks_differ_without_colour() -> None:
    assert set(plots.COLORS) == set(plots.MARKERS)
    assert len(set(plots.MARKERS.values())) == len(plots.MARKERS)
    assert look("event") == (plots.COLORS["event"], plots.MARKERS["event"])


# Spikes ------------------------------------------------------------------------------------------


def spikes_shown(ax: Axes) -> dict[tuple[float, float], float]:
    """Area of each dot by its place."""
    dots = ax.collections[0]
    places = [tuple(place) for place in np.asarray(dots.get_offsets()).tolist()]
    areas = np.broadcast_to(dots.get_sizes(), len(places)).tolist()
    return dict(zip(places, areas, strict=True))


@pytest.mark.parametrize("samples", [None, [2], [2, 0]])
def test_raster_shows_the_spikes(samples: list[int] | None) -> None:
    shown = samples or list(range(N_SAMPLES))
    ax = plots.raster(RECORDING, samples=samples)
    expected = Counter(
        (2.0 * (10 * shown.index(sample) + step), float(unit))
        for sample, step, unit in RECORDING.output_spikes.tolist()
        if sample in shown
    )
    found = spikes_shown(ax)
    assert set(found) == set(expected)
    unit_area = {place: found[place] / n for place, n in expected.items()}
    np.testing.assert_allclose(list(unit_area.values()), next(iter(unit_area.values())))
    inputs = {
        (2.0 * (10 * shown.index(sample) + step), float(i))
        for sample, step, i in RECORDING.input_spikes.tolist()
        if sample in shown
    }
    assert set(spikes_shown(part(ax, "input"))) == inputs


@pytest.mark.parametrize("order", ["prior", "activity"])
def test_raster_sorts_populations(order: str) -> None:
    ax = plots.raster(RECORDING, order=order, inputs=False)
    keys = {
        "prior": RECORDING.log_prior,
        "activity": np.bincount(RECORDING.output_spikes[:, 2], minlength=4),
    }
    units = [int(text.get_text()) for text in ax.get_yticklabels()]
    assert sorted(units) == [0, 1, 2, 3]
    assert all(keys[order][a] >= keys[order][b] for a, b in itertools.pairwise(units))
    expected = {
        (2.0 * (10 * sample + step), float(units.index(unit)))
        for sample, step, unit in RECORDING.output_spikes.tolist()
    }
    assert set(spikes_shown(ax)) == expected
    assert ax.get_ylabel() == f"population, by {order}"


def test_raster_shows_inhibition_and_the_normaliser() -> None:
    ax = plots.raster(RECORDING, samples=[2, 1])
    below = part(ax, "inhibition")
    h, normalizer = (line(below, label) for label in _INHIBITION_LABELS)
    times = [2.0 * (10 * place + step) for place in range(2) for step in range(3, 10)]
    for drawn, expected in (
        (h, RECORDING.inhibition),
        (normalizer, np.log(np.exp(RECORDING.drive / 0.5 + RECORDING.log_prior).sum(axis=2))),
    ):
        seen = np.isfinite(drawn.get_ydata())
        np.testing.assert_allclose(drawn.get_xdata()[seen], times)
        np.testing.assert_allclose(drawn.get_ydata()[seen], expected[[2, 1]].ravel())
        assert np.isnan(drawn.get_ydata()[7])  # samples are not joined
    assert below.get_ylabel() == "inhibition (nats)"
    assert below.get_xlabel() == "time from the onset of the first sample (ms)"


_INHIBITION_LABELS = ("h, inhibition", "log Σ exp(u/τ + b), the normaliser")


def test_raster_draws_what_was_probed() -> None:
    bare = plots.raster(made_up_recording(drive=None, inhibition=None), inputs=False)
    assert bare.figure.axes == [bare]
    h_only = part(plots.raster(made_up_recording(drive=None)), "inhibition")
    assert [one.get_label() for one in h_only.get_legend().get_lines()] == [_INHIBITION_LABELS[0]]
    from_onset = np.zeros((N_SAMPLES, PARAMS.presentation_steps))
    whole = plots.raster(made_up_recording(drive=None, inhibition=from_onset), samples=[0])
    assert line(part(whole, "inhibition"), "h, inhibition").get_xdata()[0] == 0.0


def test_settling_is_shaded() -> None:
    ax = plots.raster(RECORDING, samples=[0, 1])
    spans = sorted((one.get_x(), one.get_x() + one.get_width()) for one in ax.patches)
    np.testing.assert_allclose(spans, [(-1.0, 5.0), (19.0, 25.0)])
    never = made_up_recording(params=replace(PARAMS, settle_steps=0, n_steps=10), drive=None)
    assert len(plots.raster(replace(never, inhibition=None)).patches) == 0


def test_raster_divides_its_own_place_only() -> None:
    ax, other = Figure().subplots(1, 2)
    cell = ax.get_position()
    plots.raster(RECORDING, ax=ax)
    for one in (ax, part(ax, "input"), part(ax, "inhibition")):
        place = one.get_position()
        assert cell.x0 - 1e-9 <= place.x0 < place.x1 <= cell.x1 + 1e-9
        assert cell.y0 - 1e-9 <= place.y0 < place.y1 <= cell.y1 + 1e-9
    assert other.get_position().x0 > cell.x1


def test_axes_outside_a_grid_cannot_be_divided() -> None:
    ax = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    with pytest.raises(ValueError, match="ax must stand in a grid"):
        plots.raster(RECORDING, ax=ax)
    assert plots.raster(made_up_recording(inhibition=None), inputs=False, ax=ax) is ax


@pytest.mark.parametrize("smoothing", ["psp", "window"])
def test_rates_are_means_over_the_steps_since_onset(smoothing: str) -> None:
    ax = plots.population_rates(RECORDING, samples=[1], smoothing=smoothing, window_ms=6.0)
    counts = np.zeros((10, 4))
    for _, step, unit in RECORDING.output_spikes[RECORDING.output_spikes[:, 0] == 1].tolist():
        counts[step, unit] += 1
    for unit in range(4):
        drawn = line(ax, f"unit {unit}").get_ydata()
        for step in range(10):
            age = step - np.arange(step + 1)
            weight = np.exp(-2.0 * age / 6.0) if smoothing == "psp" else 1.0 * (2.0 * age < 6.0)
            per_step = (weight * counts[: step + 1, unit]).sum() / weight.sum()
            # One spike in a step of 2 ms, shared by 32 neurons.
            assert drawn[step] == pytest.approx(1000.0 * per_step / (2.0 * 32))


def test_constant_rate_is_drawn_as_constant() -> None:
    counts = np.full((2, 10, 3), 4)
    kernel = np.exp(-np.arange(10) / 3.0)
    rates = plots.smoothed_rates(counts, kernel, PARAMS)
    np.testing.assert_allclose(rates, 1000.0 * 4 / (2.0 * 32))


def test_most_active_populations_are_named_and_differ_in_grey() -> None:
    ax = plots.population_rates(RECORDING, n_named=2)
    spikes = np.bincount(RECORDING.output_spikes[:, 2], minlength=4)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [f"unit {unit}" for unit in np.argsort(-spikes)[:2]]
    lines = [one.get_linestyle() for one in ax.get_legend().get_lines()]
    assert len(set(lines)) == 2
    assert len(ax.get_lines()) >= 4


# Weights -----------------------------------------------------------------------------------------


def test_fields_are_the_weights_row_by_row() -> None:
    ax = plots.receptive_fields(WEIGHTS, (2, 3), columns=2)
    mosaic = np.asarray(ax.images[0].get_array().filled(np.nan))
    assert mosaic.shape == (3 * 2 + 2, 2 * 3 + 1)
    for unit in range(5):
        row, column = divmod(unit, 2)
        image = mosaic[3 * row :, 4 * column :][:2, :3]
        np.testing.assert_array_equal(image, WEIGHTS[unit].reshape(2, 3))
    assert np.isnan(mosaic[:, 3]).all()
    assert np.isnan(mosaic[6:, 4:]).all()  # no sixth unit
    assert ax.figure.axes[1].get_ylabel() == "weight"


def test_fields_of_networks_stand_in_rows_sorted_by_prior() -> None:
    prior = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
    ax = plots.receptive_fields({"rate": WEIGHTS, "event": -WEIGHTS}, (2, 3), prior=prior)
    mosaic = np.asarray(ax.images[0].get_array().filled(np.nan))
    for column, unit in enumerate([1, 3, 2, 4, 0]):
        image = WEIGHTS[unit].reshape(2, 3)
        np.testing.assert_array_equal(mosaic[:2, 4 * column :][:, :3], image)
        np.testing.assert_array_equal(mosaic[3:, 4 * column :][:, :3], -image)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["rate", "event"]
    shares = [text.get_text() for text in ax.get_xticklabels()]
    assert shares == ["30.0", "25.0", "20.0", "15.0", "10.0"]
    assert ax.get_title() == "prior exp(b) of the unit (%)"


def test_on_and_off_channels_are_drawn_as_their_difference() -> None:
    weights = np.hstack((WEIGHTS, WEIGHTS[::-1]))
    ax = plots.receptive_fields(weights, (2, 3), on_off=True)
    image = ax.images[0]
    mosaic = np.asarray(image.get_array().filled(np.nan))
    expected = (WEIGHTS[0] - WEIGHTS[4]).reshape(2, 3)
    np.testing.assert_array_equal(mosaic[:2, :3], expected)
    low, high = image.get_clim()
    assert low == -high  # zero is mid-grey
    assert high == np.abs(WEIGHTS - WEIGHTS[::-1]).max()


def test_diverged_weights_do_not_darken_the_others() -> None:
    ax = plots.receptive_fields({"rate": WEIGHTS, "event": 1e6 * WEIGHTS}, (2, 3))
    assert ax.images[0].get_clim()[1] == 2.0 * WEIGHTS.max()


def test_update_regression_shows_synapses_and_the_slope() -> None:
    target = np.random.default_rng(2).normal(size=(3, 4))
    ax = plots.update_regression(target, 2.0 * target, slope=2.0, rung="lava")
    offsets = np.asarray(ax.collections[0].get_offsets())
    by_target = offsets[np.argsort(offsets[:, 0])]
    np.testing.assert_array_equal(by_target[:, 0], np.sort(target.ravel()))
    np.testing.assert_array_equal(by_target[:, 1], 2.0 * by_target[:, 0])
    slope = line(ax, "slope 2.000")
    np.testing.assert_allclose(slope.get_ydata(), 2.0 * slope.get_xdata())


def test_likelihood_shows_curves_and_ends() -> None:
    y = np.array([3.0, 2.0, 1.5])
    ax = plots.likelihood({"rate": (X, y), "event": (X, y + 1)}, {"lava": (1000, 1.7)})
    np.testing.assert_array_equal(line(ax, "event").get_ydata(), y + 1)
    end = line(ax, "lava, at the end")
    assert (list(end.get_xdata()), list(end.get_ydata())) == ([1000], [1.7])


# Comparisons -------------------------------------------------------------------------------------


def test_posterior_scatter_shows_every_unit_of_every_sample() -> None:
    ax = plots.posterior_scatter(POSTERIOR, MEASURED)
    expected = np.column_stack((POSTERIOR.ravel(), MEASURED.ravel()))
    np.testing.assert_array_equal(np.asarray(ax.collections[0].get_offsets()), expected)


def test_bands_are_students_intervals() -> None:
    ax = plots.learning_curves(X, CURVES)
    assert len(ax.collections) == 2  # one seed has no band
    for band, name in zip(ax.collections, ("rate", "event"), strict=True):
        rows = CURVES[name]
        error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
        low, high = stats.t.interval(0.95, len(rows) - 1, loc=rows.mean(axis=0), scale=error)
        corners = band.get_paths()[0].vertices
        for i, x in enumerate(X):
            ends = corners[corners[:, 0] == x, 1]
            assert ends.min() == pytest.approx(low[i])
            assert ends.max() == pytest.approx(high[i])
            of_verdicts = Interval.of(rows[:, i])
            assert (of_verdicts.low, of_verdicts.high) == pytest.approx((low[i], high[i]))
    for name, rows in CURVES.items():
        np.testing.assert_allclose(line(ax, name).get_ydata(), rows.mean(axis=0))
        assert line(ax, name).get_marker() == plots.MARKERS[name]


def test_curves_have_the_names_they_are_given() -> None:
    ax = plots.learning_curves(X, CURVES, labels={"rate": "of rates"}, ylabel="nats")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["of rates", "event", "lava"]
    assert ax.get_ylabel() == "nats"


def test_confusion_cells_hold_the_counts() -> None:
    true, predicted = CLASSES
    ax = plots.confusion_matrix(true, predicted)
    counts = Counter(zip(true.tolist(), predicted.tolist(), strict=True))
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert len(cells) == 9
    for row, column in itertools.product(range(3), range(3)):
        assert cells[column, row] == (str(counts[row, column]) if counts[row, column] else "·")
    grey = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(grey.sum(axis=1), 1.0)
    assert grey[0, 1] == counts[0, 1] / sum(true == 0)


def test_confusion_numbers_stand_out_from_their_cells() -> None:
    ax = plots.confusion_matrix([0] * 9 + [1], [0] * 8 + [1, 1])
    image = ax.images[0]
    for text in ax.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))[0]
        ink = matplotlib.colors.to_rgb(text.get_color())[0]
        assert abs(cell - ink) > 0.4


def test_confusion_matrix_of_chosen_classes() -> None:
    ax = plots.confusion_matrix(["b", "a"], ["a", "a"], labels=["b", "a", "c"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["b", "a", "c"]
    assert [text.get_text() for text in ax.texts] == ["·", "1", "·", "·", "1", "·", "·", "·", "·"]


def test_budget_shows_a_value_in_each_row() -> None:
    ax = plots.budget(ROWS, [0.1, 0.3, 0.2], measure="total variation")
    dots = [one.get_xydata()[0].tolist() for one in ax.get_lines() if len(one.get_xydata()) == 1]
    assert dots == [[0.1, 0], [0.3, 1], [0.2, 2]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ROWS


# Cores -------------------------------------------------------------------------------------------


def test_core_map_has_the_cores_of_each_chip() -> None:
    ax = plots.core_map(PLAN)
    assert PLAN.n_chips > 1
    assert len(ax.patches) == PLAN.n_chips * int(PLAN.chip.limit("cores_per_chip"))
    used = [one for one in ax.patches if one.get_facecolor()[:3] != pytest.approx((242 / 255,) * 3)]
    assert len(used) == len(PLAN.cores)
    hatched = [one for one in used if one.get_hatch()]
    assert len(hatched) == sum(core.population == "pool" for core in PLAN.cores)
    assert ax.get_title().startswith(f"Loihi 2: {len(PLAN.cores)} cores on {PLAN.n_chips} chips")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["units", "pool", "empty"]


def test_core_map_of_too_many_chips_shows_the_first() -> None:
    small = replace(PLAN, cores=PLAN.cores * 10)
    ax = plots.core_map(small)
    assert len(ax.patches) == 16 * int(PLAN.chip.limit("cores_per_chip"))
    assert "the first 16 shown" in ax.get_title()


# Bad input ---------------------------------------------------------------------------------------

BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "raster, sample": (
        lambda: plots.raster(RECORDING, samples=[3]),
        r"samples must be .* \[0, 2\]",
    ),
    "raster, twice": (lambda: plots.raster(RECORDING, samples=[1, 1]), "samples must be different"),
    "raster, none": (lambda: plots.raster(RECORDING, samples=[]), "samples must be"),
    "raster, order": (lambda: plots.raster(RECORDING, order="size"), "order must be one of"),
    "raster, inhibition": (
        lambda: plots.raster(made_up_recording(inhibition=np.zeros((2, 7)))),
        r"recording.inhibition must have shape \(3, n_steps\), got \(2, 7\)",
    ),
    "raster, drive": (
        lambda: plots.raster(made_up_recording(drive=np.zeros((3, 7, 5)))),
        r"recording.drive must have shape \(3, 7, 4\)",
    ),
    "rates, smoothing": (
        lambda: plots.population_rates(RECORDING, smoothing="box"),
        "smoothing must be one of",
    ),
    "rates, window": (
        lambda: plots.population_rates(RECORDING, window_ms=0.0),
        "window_ms must be",
    ),
    "rates, named": (lambda: plots.population_rates(RECORDING, n_named=6), "n_named must be"),
    "fields, shape": (
        lambda: plots.receptive_fields(WEIGHTS, (2, 2)),
        r"weights must have shape \(n_units, 4\), got \(5, 6\)",
    ),
    "fields, units": (
        lambda: plots.receptive_fields({"rate": WEIGHTS, "event": WEIGHTS[:3]}, (2, 3)),
        r"weights\['event'\] must have shape \(5, 6\)",
    ),
    "fields, prior": (
        lambda: plots.receptive_fields(WEIGHTS, (2, 3), prior=np.ones(4)),
        "prior must have shape",
    ),
    "fields, nothing": (lambda: plots.receptive_fields({}, (2, 3)), "weights must be"),
    "posterior": (
        lambda: plots.posterior_scatter(POSTERIOR, MEASURED[1:]),
        "measured must have shape",
    ),
    "update": (
        lambda: plots.update_regression(WEIGHTS, WEIGHTS.T, slope=1.0),
        "measured must have shape",
    ),
    "convergence": (lambda: plots.convergence(X, 1.0 / X[1:], order=-1.0), "errors must have"),
    "likelihood": (
        lambda: plots.likelihood({"rate": (X, X[1:])}),
        r"curves\['rate'\]\[1\] must have shape \(3,\), got \(2,\)",
    ),
    "curves": (
        lambda: plots.learning_curves(X, {"event": np.ones((2, 4))}),
        r"by_network\['event'\] must have shape \(n_seeds, 3\)",
    ),
    "confusion": (lambda: plots.confusion_matrix([0, 1], [0]), "y_predicted must have shape"),
    "budget": (lambda: plots.budget(ROWS, [1.0], measure="x"), "values must have shape"),
    "budget, empty": (lambda: plots.budget([], [], measure="x"), "values must be at least one"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    draw, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        draw()


def test_shapes_are_checked() -> None:
    assert as_array("x", [[1, 2]], (1, "n")).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(n,\), got \(1, 2\)"):
        as_array("x", [[1, 2]], ("n",))

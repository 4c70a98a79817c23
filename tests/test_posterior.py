"""The posterior comparison: its slopes and errors, on drives, spikes and counts made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hand_made import (
    ALL,
    Floats,
    assert_same_run,
    by_name,
    groups_of,
    made_ladder,
    unit,
)
from numpy.typing import NDArray

from softhebb_spiking.encoding import psp_gain
from softhebb_spiking.params import (
    RunResult,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.verification import (
    _statistics,
    posterior,
)
from softhebb_spiking.verification._plan import (
    Ladder,
)
from softhebb_spiking.verification.check import Check


def test_every_rung_shows_test_samples_to_the_frozen_reference() -> None:
    made = made_ladder()
    runs = posterior.plan(made, {})
    assert list(runs) == [("posterior", rung) for rung in ALL]
    for (_, rung), run in runs.items():
        n = 4 if rung in ("lava", "brian2") else 6
        expected = made.run(
            made.network, made.X_test[:n], probes=("drive", "inhibition"), keep_spikes=True
        )
        assert_same_run(run, expected)


def rows_of(counts: Any, settle_steps: int) -> NDArray[np.int64]:
    """Output spikes of counts per step, and one in each settling step, which is not to be read."""
    rows = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0)
    rows[:, 1] += settle_steps
    early = np.array([[0, step, 0] for step in range(settle_steps)]).reshape(-1, 3)
    return np.concatenate([early, rows])


class Spikes:
    """Drives and inhibition drawn at random, and counts drawn with log-rates that depend on them.

    `slope` and `interaction` change log-rates as the faults that the checks are to measure would.
    """

    def __init__(self, made: Ladder, seed: int = 0) -> None:
        self.net, self.rng = made.network, np.random.default_rng(seed)
        shape = (6, self.net.n_steps, self.net.n_units)
        self.drive = self.net.temperature * self.rng.normal(scale=1.2, size=shape)
        self.x = self.drive / self.net.temperature + made.rate.log_prior_
        log_sum = np.log(np.exp(self.x).sum(axis=-1))
        self.h = log_sum + self.rng.normal(scale=0.3, size=shape[:2])
        self.ratio = self.x - self.x.max(axis=-1, keepdims=True)
        error = (self.h - log_sum)[..., np.newaxis]
        self.interaction = self.ratio * (error - error.mean())

    def log_rate(self) -> Floats:
        base = math.log(self.net.total_rate / self.net.population_size)
        return np.asarray(base + self.x - self.h[..., np.newaxis])

    def result(
        self, *, slope: float = 1.0, interaction: float = 0.0, shift: float = 0.0
    ) -> RunResult:
        change = (slope - 1) * (self.ratio - self.ratio.mean()) + interaction * self.interaction
        change += shift
        rho = np.exp(np.minimum(self.log_rate() + change, 0.0))
        counts = self.rng.binomial(self.net.population_size, rho)
        return self.with_counts(counts)

    def with_counts(self, counts: Any) -> RunResult:
        return RunResult(
            spike_counts=counts.sum(axis=1),
            weights=np.zeros((1, 1)),
            log_prior=np.zeros(1),
            output_spikes=rows_of(counts, self.net.settle_steps),
            probes={"drive": self.drive, "inhibition": self.h},
        )


def rate_checks(made: Ladder, result: RunResult) -> dict[str, Check]:
    rates = posterior._LogRates(made, result)
    return by_name(
        [
            rates.log_ratio_slope("event"),
            rates.dependence_on_inhibition("event"),
            rates.saturation("event"),
        ],
        "event",
    )


@pytest.mark.statistical
def test_slopes_of_right_rates_scatter_by_their_stated_error() -> None:
    """Over 300 draws: means of z beyond 5/√300, or spreads beyond 1 ± 5/√600, are rarer than 2e-6.

    Where no more neurons can fire than there are, the spread is that of fewer: none is near here.
    """
    made = made_ladder()
    spikes = Spikes(made)
    z: list[list[float]] = []
    for _ in range(300):
        found = rate_checks(made, spikes.result())
        z.append(
            [
                4 * (item.value - centre) / (item.high - centre)
                for item, centre in ((found["log-ratio slope"], 1), (found["independence of h"], 0))
                if item.high is not None
            ]
        )
    deviates = np.array(z)
    assert deviates.shape == (300, 2)
    assert np.abs(deviates.mean(axis=0)).max() < 5 / math.sqrt(300)
    assert np.abs(deviates.std(axis=0) - 1).max() < 5 / math.sqrt(600)
    for name, centre in (("log-ratio slope", 1.0), ("independence of h", 0.0)):
        item = found[name]
        assert item.low is not None
        assert item.high is not None
        assert item.low + item.high == pytest.approx(2 * centre)
        assert f"{(item.high - centre) / 4:.2g}" in item.bound_from


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("fault", "name", "others"),
    [
        ({"slope": 1.15}, "log-ratio slope", "independence of h"),
        ({"interaction": 0.4}, "independence of h", "log-ratio slope"),
    ],
)
def test_faults_of_the_rates_are_measured(fault: dict[str, float], name: str, others: str) -> None:
    """One step of Newton's from no fault is off in proportion to the fault's square.

    100 draws bring σ to a tenth, below 0.01.
    """
    made = made_ladder()
    spikes = Spikes(made, seed=1)
    found = [rate_checks(made, spikes.result(**fault)) for _ in range(100)]
    wanted = next(iter(fault.values()))
    centre = 0.0 if name == "independence of h" else 1.0
    size = np.mean([item[name].value for item in found])
    assert abs(size - wanted) < 0.3 * abs(wanted - centre)
    assert not all(item[name].passed for item in found)
    assert np.mean([item[others].passed for item in found]) > 0.9


@pytest.mark.statistical
def test_a_rate_that_all_units_share_is_no_fault_of_the_ratios() -> None:
    """A tenth more spikes everywhere: slopes are those of ratios. Means of 200 z, 5 σ and bias.

    Spikes beyond a population's neurons are lost, so that the share is not quite the same: the
    shift of 0.1 by less than 0.25 of a standard error.
    """
    made = made_ladder()
    spikes = Spikes(made)
    for name, centre in (("log-ratio slope", 1.0), ("independence of h", 0.0)):
        z = []
        for _ in range(200):
            item = rate_checks(made, spikes.result(shift=0.1))[name]
            assert item.high is not None
            z.append(4 * (item.value - centre) / (item.high - centre))
        assert abs(np.mean(z)) < 5 / math.sqrt(200) + 0.25


@pytest.mark.statistical
def test_dependence_on_inhibition_does_not_depend_on_its_mean() -> None:
    """A wrong slope is no dependence on h, even if h lies a nat above the normaliser."""
    made = made_ladder()
    spikes = Spikes(made, seed=3)
    spikes.h += 1.0
    found = [rate_checks(made, spikes.result(slope=1.15)) for _ in range(100)]
    assert np.mean([item["independence of h"].passed for item in found]) > 0.9


def test_lost_spikes_are_counted() -> None:
    """Log-rates of units lie 0.5 above what a population can fire, and 20 below, in turn."""
    made = made_ladder()
    spikes = Spikes(made)
    base = math.log(made.network.total_rate / made.network.population_size)
    wanted = np.where(np.arange(22) % 2 == 0, 0.5, -20.0)
    spikes.drive[:] = made.network.temperature * (wanted - base - made.rate.log_prior_)
    spikes.h[:] = 0.0
    found = rate_checks(made, spikes.with_counts(np.zeros(spikes.drive.shape, np.int64)))
    share = (math.exp(0.5) - 1.0) / (1.0 + math.exp(-20.0))
    assert found["no saturated population"].value == pytest.approx(share, rel=1e-12)
    assert found["no saturated population"].high == 0.01
    assert found["no saturated population"].low is None
    # Where all that fire at all must fire, ratios tell nothing, and that is no success.
    assert math.isnan(found["log-ratio slope"].value)
    assert not found["log-ratio slope"].passed
    assert not found["independence of h"].passed


def test_unsaturated_populations_lose_nothing() -> None:
    made = made_ladder()
    spikes = Spikes(made)
    spikes.h += 3.0
    assert spikes.log_rate().max() < 0
    assert rate_checks(made, spikes.result())["no saturated population"].value == 0.0


def mean_drive_of_a_spike(sent: int, settle_steps: int, n_steps: int, decay: float) -> float:
    """What one spike adds to the mean drive, a step at a time; it arrives one step later."""
    u, current, total = 0.0, 0.0, 0.0
    for step in range(settle_steps + n_steps):
        u = decay * u + current
        current = 1.0 if step == sent else 0.0
        total += u if step >= settle_steps else 0.0
    return total / n_steps


@pytest.mark.parametrize(("settle_steps", "n_steps"), [(0, 1), (0, 5), (4, 3), (7, 12)])
def test_kernel_of_the_mean_drive(settle_steps: int, n_steps: int) -> None:
    kernel = posterior._mean_kernel(settle_steps, n_steps, 0.8)
    expected = [
        mean_drive_of_a_spike(sent, settle_steps, n_steps, 0.8)
        for sent in range(settle_steps + n_steps)
    ]
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)


def drives_of(made: Ladder, spikes: Floats) -> Floats:
    """Drives of the steps that are read, of inputs (n_samples, steps, n_features)."""
    net, X = made.network, made.X_test[: len(spikes)]
    decay = math.exp(-net.dt_ms / net.psp_tau_ms)
    heights = psp_gain(X, net)[:, np.newaxis, np.newaxis]
    arriving = heights * spikes @ made.rate.weights_.T
    u = np.zeros((len(X), net.n_units))
    read = []
    for step in range(net.presentation_steps):
        u = decay * u + (arriving[:, step - 1] if step else 0.0)
        if step >= net.settle_steps:
            read.append(u)
    return np.stack(read, axis=1)


def uneven_ladder(**network: Any) -> Ladder:
    """Short presentations, of samples of which some have one strong input, and halved drives."""
    made = made_ladder(**({"settle_steps": 2, "n_steps": 7} | network))
    X = made.X_test.copy()
    X[::2, 3] += 8.0
    rate = SoftHebb.from_weights(
        0.5 * made.rate.weights_, made.rate.log_prior_, temperature=made.rate.temperature
    )
    return replace(made, X_test=unit(X), rate=rate)


def drive_check(made: Ladder, spikes: Floats) -> Check:
    result = RunResult(
        spike_counts=np.zeros((len(spikes), 1), np.int64),
        weights=np.zeros((1, 1)),
        log_prior=np.zeros(1),
        probes={"drive": drives_of(made, spikes)},
    )
    found = posterior._drive(made, "event", made.X_test[: len(spikes)], result)
    assert (found.name, found.rungs) == ("posterior/drive", ("rate", "event"))
    return found


def test_the_mean_drive_of_the_expected_input_has_slope_one() -> None:
    made = uneven_ladder()
    p = made.network.max_probability * made.X_test[:6] / made.X_test[:6].max(axis=1, keepdims=True)
    inputs = np.repeat(p[:, np.newaxis], made.network.presentation_steps, axis=1)
    assert drive_check(made, inputs).value == pytest.approx(1.0, rel=1e-12)
    assert drive_check(made, 1.2 * inputs).value == pytest.approx(1.2, rel=1e-12)


@pytest.mark.statistical
def test_the_drive_scatters_by_its_stated_error() -> None:
    """Over 1600 draws of Bernoulli inputs; bounds are of 5 standard errors, rarer than 2e-6."""
    made = uneven_ladder(max_probability=0.2)
    rng = np.random.default_rng(2)
    p = 0.2 * made.X_test[:6] / made.X_test[:6].max(axis=1, keepdims=True)
    shape = (6, made.network.presentation_steps, 10)
    z = []
    for _ in range(1600):
        found = drive_check(made, (rng.random(shape) < p[:, np.newaxis]).astype(float))
        assert found.high is not None
        assert found.low is not None
        assert found.high + found.low == pytest.approx(2.0)
        z.append(4 * (found.value - 1) / (found.high - 1))
    assert f"{(found.high - 1) / 4:.2g}" in found.bound_from
    assert abs(np.mean(z)) < 5 / math.sqrt(1600)
    assert abs(np.std(z) - 1) < 5 / math.sqrt(3200)


def test_the_three_questions_are_asked_of_every_rung() -> None:
    made = made_ladder()
    y = made.rate.predict_proba(made.X_test[:6])
    results = {("posterior", rung): Spikes(made, seed=4).result() for rung in ALL}
    half = np.zeros((6, 22), np.int64)
    half[:, 1], half[1:, 3] = 130, 70
    half[0, 1] = 0
    results["posterior", "lava"] = replace(results["posterior", "lava"], spike_counts=half)
    checks = posterior.evaluate(made, results)
    by_rung = {rung: by_name(checks, rung) | by_name(checks, "rate", rung) for rung in made.rungs}
    assert sum(map(len, by_rung.values())) == len(checks) == 4 * 7
    assert groups_of(checks) == {"posterior"}

    lava = by_rung["lava"]
    assert (lava["silent samples"].value, lava["silent samples"].high) == (1.0, 0.0)
    # 5 samples of 200 spikes, one of none, where 8 in each of 20 steps are nominal.
    rate = lava["total rate"]
    assert rate.value == pytest.approx(5 * 200 / 6 / 160, rel=1e-12)
    assert (rate.low, rate.high) == (0.8, 1.6)
    shares = np.zeros((6, 22))
    shares[1:, 1], shares[1:, 3], shares[0] = 0.65, 0.35, 1 / 22
    distance = lava["total variation"]
    assert distance.value == pytest.approx(0.5 * np.abs(shares - y).sum(axis=1).mean(), rel=1e-12)
    floor = _statistics.sampling_floor(y, half.sum(axis=1)).mean()
    assert distance.high == pytest.approx(floor + 0.04, rel=1e-12)
    assert f"{floor:.4f}" in distance.bound_from
    assert "167 spikes" in distance.bound_from

    # Integers are given what floats need, and a little more.
    in_float = by_rung["event"]["total variation"]
    n_spikes = results["posterior", "event"].spike_counts.sum(axis=1)
    assert in_float.high == pytest.approx(
        _statistics.sampling_floor(y, n_spikes).mean() + 0.04, rel=1e-12
    )
    in_integers = by_rung["fixed"]["total variation"]
    assert in_integers.value == in_float.value
    assert in_integers.high == pytest.approx(in_float.value + 0.02, rel=1e-12)
    alone = posterior.evaluate(replace(made, rungs=("fixed",)), results)
    assert by_name(alone, "rate", "fixed")["total variation"].high == in_float.high

"""The studies in docs/studies: each script runs as it is, and its numbers are what it says."""

import functools
import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

matplotlib = pytest.importorskip("matplotlib")

STUDIES = Path(__file__).resolve().parents[1] / "docs" / "studies"
SCRIPTS = sorted(path.stem for path in STUDIES.glob("plot_*.py"))


@functools.cache
def run(name: str) -> dict[str, Any]:
    """Return the names of a script that was run to its end, figure included, once."""
    return runpy.run_path(str(STUDIES / f"{name}.py"), run_name="__main__")


@pytest.fixture(autouse=True)
def _no_windows() -> Iterator[None]:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_every_script_is_a_gallery_example() -> None:
    assert len(SCRIPTS) == 5
    assert (STUDIES / "README.rst").read_text(encoding="utf-8").startswith("Studies\n=======")
    for name in SCRIPTS:
        lines = (STUDIES / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert lines[0] == '"""'
        assert set(lines[2]) == {"="}
        assert len(lines[2]) == len(lines[1])
        assert "# %%" in lines


@pytest.mark.slow
def test_most_spiking_units_are_oriented_and_no_control_is() -> None:
    study = run("plot_receptive_fields")
    oriented = study["oriented"]
    assert oriented["spiking"] >= 0.6
    assert oriented["rate"] >= 0.6
    # A control of 2000 units has a standard error below 0.011; the initial weights are 49 units.
    assert oriented["random weights"] <= 0.02
    assert oriented["shuffled pixels"] <= 0.02
    error = math.sqrt(0.25 / len(study["found"]["spiking"]) * 2.0)
    assert oriented["initial weights"] < oriented["spiking"] - 3.0 * error
    assert oriented["single patches"] < oriented["spiking"] - 0.2
    # Learning from images without edges makes fewer, from isotropic noise next to none.
    assert oriented["learned: no edges"] < oriented["rate"] - 3.0 * error
    assert oriented["learned: no orientations"] <= 0.05


@pytest.mark.slow
def test_selectivity_is_that_of_known_tuning_curves() -> None:
    study = run("plot_receptive_fields")
    angles = study["ORIENTATIONS"]
    cosine, flat = 1.0 + np.cos(2.0 * (angles - 0.3)), np.ones_like(angles)
    np.testing.assert_allclose(study["resultant"](np.array([cosine, flat])), [0.5, 0.0], atol=1e-12)
    side = study["SIDE_PIXELS"]
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    grating = np.cos(2.0 * np.pi * 0.125 * x)
    spot = np.exp(-(x**2 + y**2) / 4.0) - 0.25 * np.exp(-(x**2 + y**2) / 16.0)
    selectivity = study["selectivity"](study["on_off"](np.array([grating, spot])))
    assert selectivity[0] > study["ORIENTED"]
    assert selectivity[1] < 0.1


@pytest.mark.parametrize("which", range(5))
def test_cues_are_combined_as_bayes_asks(which: int) -> None:
    comparison = run("plot_cue_combination")["comparisons"][which]
    assert comparison.mean_error < 0.05
    assert comparison.variance_error < 0.05
    assert comparison.additivity_error < 0.05
    # With both cues the belief is narrower than with either.
    assert comparison.spikes.variance < min(belief.variance for belief in comparison.alone)


def test_errors_are_as_large_as_beliefs_say() -> None:
    study = run("plot_cue_combination")
    ratios, n = study["ratios"], study["N_TRIALS"]
    # 4σ of the mean of n squares of Gaussians, for five and for their mean: false alarm 4·10⁻⁴.
    assert np.abs(np.array(ratios) - 1.0).max() < 4.0 * math.sqrt(2.0 / n)
    assert abs(np.mean(ratios) - 1.0) < 4.0 * math.sqrt(2.0 / n / len(ratios))


def test_the_five_reliabilities_move_the_mean_from_one_cue_to_the_other() -> None:
    means = [one.spikes.mean for one in run("plot_cue_combination")["comparisons"]]
    assert (np.diff(means) < 0.0).all()
    assert means[0] - means[-1] > 0.9


def test_the_optimum_of_the_densities_is_the_softmax_of_the_drives() -> None:
    study = run("plot_cue_combination")
    for gains in study["GAINS"]:
        u = study["weights"]() @ study["sample"](gains)
        y = study["softmax"](u / study["TEMPERATURE"])
        np.testing.assert_allclose(y, study["optimal_posterior"](gains), atol=1e-9)
        assert np.linalg.norm(study["sample"](gains)) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(np.linalg.norm(study["weights"](), axis=1), 1.0, atol=1e-12)


def test_learned_priors_are_the_frequencies_within_sampling_error() -> None:
    priors = run("plot_priors")["priors"]
    # 4σ for five priors: false alarm 3·10⁻⁴.
    assert np.abs(priors.z).max() < 4.0
    assert priors.learned.sum() == pytest.approx(1.0, abs=0.01)
    assert (np.diff(priors.learned) < 0.0).all()


def test_sampling_error_of_priors_can_tell_them_from_uniform_ones() -> None:
    study = run("plot_priors")
    uniform = (1.0 / study["N_UNITS"] - study["FREQUENCIES"]) / study["priors"].sigma
    assert np.abs(uniform).max() > 8.0


def test_the_prior_moves_ambiguous_stimuli_by_the_log_prior_odds() -> None:
    study = run("plot_priors")
    shift = study["shift"]
    assert 0.9 < study["slope"](shift) < 1.02  # the noise of input spikes makes it smaller
    assert np.abs(shift.measured - shift.predicted).max() < 0.15


@pytest.mark.slow
def test_slow_inhibition_costs_first_the_rate_and_then_the_posterior() -> None:
    study = run("plot_inhibition_time")
    feedback, exact = study["feedback"], study["exact"]
    fast = [one for one in feedback if one.tau_ms < 0.75 * study["NETWORK"]["psp_tau_ms"]]
    assert len(fast) >= 5
    for one in fast:
        assert one.total_variation < exact.total_variation + 0.02
    assert feedback[0].total_variation > 0.3
    # Gains rise, so time constants and overshoots fall.
    assert (np.diff([one.tau_ms for one in feedback]) < 0.0).all()
    assert (np.diff([one.overshoot for one in feedback]) <= 0.0).all()
    assert exact.overshoot < 1.3
    assert exact.mean_rate == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_the_time_constant_is_that_of_the_pool() -> None:
    study = run("plot_inhibition_time")
    options = {"n_features": 1, "n_units": 1, "inhibition_gain": 0.3, "dt_ms": 0.5}
    net = study["NetworkParams"](**options)
    # What a step corrects of a small error e: κ times the change of the mean of log(N + ½), N
    # Poisson of mean 8.5 eᵉ, from its exact distribution.
    n = np.arange(200)

    def mean_log(error: float) -> float:
        return float(stats.poisson.pmf(n, 8.5 * math.exp(error)) @ np.log(n + 0.5))

    k, d = 0.3 * (mean_log(0.05) - mean_log(-0.05)) / 0.1, math.exp(-0.5 / 10.0)
    expected = pytest.approx(-0.5 / math.log(1.0 - k), rel=0.02)  # κ r/(r + ½) is 7 % off
    assert study["inhibition_tau_ms"](net) == expected
    # The pool of docs/model.md, point 6, close to balance: e = −k/κ · distance.
    distance, trend, course = 1.0, 0.0, []
    for _ in range(400):
        correction = -k * distance
        trend = d * trend + (1.0 - d) * correction
        distance += correction + trend
        course.append(math.hypot(distance, trend))
    # Complex eigenvalues make the distance turn as it shrinks: compare over many turns.
    measured = -0.5 * 300 / math.log(course[399] / course[99])
    assert study["slowest_tau_ms"](net) == pytest.approx(measured, rel=0.05)


@pytest.mark.slow
def test_count_variance_follows_the_law_of_total_variance() -> None:
    study = run("plot_variability")
    exact, feedback = study["kinds"]["exact"], study["kinds"]["feedback"]
    # A variance over n trials has a relative error of √(2/(n − 1)), if all units vary together and
    # like a Gaussian; stimuli are independent. 4σ for three ratios: false alarm 2·10⁻⁴.
    of_stimulus = exact.variance.sum(axis=1)
    effective_stimuli = of_stimulus.sum() ** 2 / (of_stimulus**2).sum()
    tolerance = 4.0 * math.sqrt(2.0 / (study["N_TRIALS"] - 1) / effective_stimuli)
    assert tolerance < 0.12
    assert study["explained_variance"](exact) == pytest.approx(1.0, abs=tolerance)
    for found in (exact, feedback):
        assert study["explained_share_variance"](found) == pytest.approx(1.0, abs=tolerance)
    # Without the drive's part it would be far too small.
    assert exact.variance.sum() > 2.0 * exact.given_drive.sum()


@pytest.mark.slow
def test_sure_units_are_poisson_and_unsure_ones_more_variable() -> None:
    study = run("plot_variability")
    share, fano = study["fano_factors"](study["kinds"]["exact"])
    assert np.median(fano[share > 0.9]) == pytest.approx(1.0, abs=0.2)
    assert np.median(fano[(share > 0.1) & (share < 0.6)]) > 2.0
    for found in study["kinds"].values():
        difference = found.spike_entropy - study["posterior_entropy"]
        assert abs(difference.mean()) < 0.1

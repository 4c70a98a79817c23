"""Claim 7: a soft winner-take-all is better than a hard one.

The temperature goes from soft to the limit in which one unit takes all; the rule stays the same.
Spiking networks run with `exact` inhibition here, because no inhibition that learns of a drive one
step late can follow drives that differ by thousands of nats. Besides, a large layer under a linear
readout, as the paper has it, soft and hard, also attacked.

A linear readout has features of a temperature of its own, the same for all, so that it compares
what layers have learned. Read at the temperature of learning, a hard layer's features are its
winners.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking import theory
from softhebb_spiking.experiments import attacks, pictures
from softhebb_spiking.experiments.differentiable import Differentiable, predict
from softhebb_spiking.experiments.settings import HARD_TEMPERATURE
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import (
    BACKPROP,
    Trial,
    accuracy,
    linear_head,
    named_units,
)
from softhebb_spiking.validation import FloatArray, unit_norm_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 7
FIXED_TEMPERATURE = 0.001  # the lowest that 24 bits for u/τ hold
RANDOM_START = "rate, random start"
ATTACK_EPS = 64 / 255  # L∞
SWEEP_EPS = 1.5  # L2
SWEEP_SIGMA = 0.5
_N_LABELS = 10_000
_N_TEST = 2_000
_DENSITY_TEMPERATURES = np.geomspace(1e-4, 0.1, 13)
_N_DENSITY = 2_000  # training samples that choose among them
_LARGE_BACKPROP_RATE = 1e-3  # that of Adam's authors; searching would take longer than all else
_USED = 0.1  # a unit is used if it has this part of what each would have if all had the same


def run(trial: Trial) -> dict[str, Any]:
    """Return what each temperature gives on each rung, and the large layer, soft and hard."""
    rows = {
        rung: {
            str(temperature): _measured(trial, rung, temperature, "data")
            for temperature in trial.settings.temperatures
        }
        for rung in trial.rungs
    }
    found = {
        "temperatures": list(trial.settings.temperatures),
        "soft": trial.settings.temperature,
        "rungs": rows,
        "large": _large_layer(trial),
    }
    if "rate" in trial.rungs:
        found[RANDOM_START] = {
            str(temperature): _measured(trial, "rate", temperature, "random")
            for temperature in trial.settings.temperatures
        }
    return found


def _changes(trial: Trial, rung: str, temperature: float) -> dict[str, Any]:
    if rung == "rate":
        return {"temperature": temperature}
    if rung == "fixed":
        temperature = max(temperature, FIXED_TEMPERATURE)
    return {"temperature": temperature, **trial.settings.lone_inhibition}


def _measured(trial: Trial, rung: str, temperature: float, init: str) -> dict[str, float]:
    """Return accuracy, cross-entropy, used units and robustness of a layer."""
    data, s = trial.data, trial.settings
    X, y = data.X_test[:_N_TEST], data.y_test[:_N_TEST]
    layer = trial.layer(rung, init=init, **_changes(trial, rung, temperature))
    classifier = trial.named(layer, _N_LABELS)
    readout = trial.read_linearly(layer, _N_LABELS)
    own = trial.read_linearly(layer, _N_LABELS, temperature=layer.temperature)
    posterior = layer.predict_proba(X)
    noise = SWEEP_SIGMA * trial.generator("noise").standard_normal(X.shape)
    noisy = np.clip(X + noise, 0.0, 1.0)
    few = slice(0, s.n_attacked)
    attacked = attacks.projected_gradient(
        named_units(classifier, s.temperature),
        X[few],
        y[few],
        norm="l2",
        eps=SWEEP_EPS,
        n_steps=s.attack_steps,
        seed=trial.seed,
        loss="cross-entropy",
    )
    return {
        "named": accuracy((posterior @ classifier.class_given_unit_).argmax(axis=1), y),
        "linear": accuracy(readout.predict(X), y),
        "linear, own temperature": accuracy(own.predict(X), y),
        "cross_entropy": _cross_entropy(trial, layer, X),
        "used": float((posterior.mean(axis=0) > _USED / layer.n_units).mean()),
        "noisy": accuracy(classifier.predict(noisy), y),
        "attacked": accuracy(classifier.predict(attacked), y[few]),
    }


def _cross_entropy(trial: Trial, layer: Any, X: FloatArray) -> float:
    """Return the cross-entropy of samples at the temperature that suits the layer best.

    Chosen on training samples. At one temperature for all, layers that learned at it would win.
    """
    chosen = unit_norm_samples(trial.data.X_train[:_N_DENSITY])
    density = layer.weights_, layer.log_prior_
    scores = [theory.cross_entropy(chosen, *density, float(t)) for t in _DENSITY_TEMPERATURES]
    best = float(_DENSITY_TEMPERATURES[int(np.argmin(scores))])
    return theory.cross_entropy(unit_norm_samples(X), *density, best)


def _large_layer(trial: Trial) -> dict[str, Any]:
    """Return the linear readout of a large layer, clean and attacked, and back-propagation."""
    s, data = trial.settings, trial.data
    rung = "event" if "event" in trial.rungs else trial.rungs[0]
    chosen = trial.generator("attacked").permutation(len(data.X_test))[: s.n_attacked // 2]
    X, y = data.X_test[chosen], data.y_test[chosen]
    found: dict[str, Any] = {"rung": rung, "n_units": s.n_units_readout}
    heads: dict[str, Differentiable] = {
        BACKPROP: trial.perceptron(
            n_units=s.n_units_readout, learning_rates=(_LARGE_BACKPROP_RATE,)
        )
    }
    for name, temperature in (("soft", s.temperature), ("hard", HARD_TEMPERATURE)):
        changes = _changes(trial, rung, temperature)
        layer = trial.layer(rung, n_units=s.n_units_readout, **changes)
        heads[name] = linear_head(trial.read_linearly(layer))
        own = trial.read_linearly(layer, temperature=layer.temperature)
        found[f"{name}, own temperature"] = accuracy(own.predict(data.X_test), data.y_test)
    effort = {"n_steps": s.attack_steps, "n_restarts": s.attack_restarts, "seed": trial.seed}
    for name, head in heads.items():
        tried = attacks.gradient_attacks(head, X, y, norm="linf", eps=ATTACK_EPS, **effort)
        right = np.array([predict(head, one) == y for one in tried])
        found[name] = {
            "accuracy": accuracy(predict(head, data.X_test), data.y_test),
            "attacked": float(right.all(axis=0).mean()),
            "one step": float(right[0].mean()),
        }
    return found


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether soft is better than hard on each rung."""
    return [_claim(results, rung) for rung in rungs]


def _claim(results: Sequence[dict[str, Any]], rung: str) -> Claim:
    def gain(name: str, table: str = "") -> tuple[float, ...]:
        gains = []
        for one in results:
            rows = one[table] if table else one["rungs"][rung]
            soft, hard = rows[str(one["soft"])], rows[str(HARD_TEMPERATURE)]
            gains.append(100.0 * (soft[name] - hard[name]))
        return tuple(gains)

    def decides(name: str, text: str) -> Measure:
        return Measure(name=text, unit="points", values=gain(name), must_exceed=0.0)

    fall = tuple(-one / 100.0 for one in gain("cross_entropy"))
    measures = [
        decides("named", "accuracy with named units, soft minus hard"),
        decides("linear", "accuracy with a linear readout, soft minus hard"),
        Measure(
            name="the same, features at the temperature of learning",
            unit="points",
            values=gain("linear, own temperature"),
        ),
        Measure(
            name="cross-entropy at the best temperature of each, hard minus soft",
            unit="nats",
            values=fall,
            must_exceed=0.0,
        ),
        Measure(
            name=f"accuracy at noise of σ = {SWEEP_SIGMA}, soft minus hard",
            unit="points",
            values=gain("noisy"),
        ),
        Measure(
            name=f"accuracy under L2 attack of {SWEEP_EPS}, soft minus hard",
            unit="points",
            values=gain("attacked"),
        ),
    ]
    if rung == "rate":
        measures.append(
            Measure(
                name="accuracy with named units from a random start, soft minus hard",
                unit="points",
                values=gain("named", RANDOM_START),
            )
        )
    if rung == results[0]["large"]["rung"]:
        measures += _large_measures(results)
    return Claim(number=CLAIM, network=rung, measures=tuple(measures))


def _large_measures(results: Sequence[dict[str, Any]]) -> list[Measure]:
    large = [one["large"] for one in results]
    head = f"K = {large[0]['n_units']}, linear readout"
    names = {"soft": "soft", "hard": "hard", BACKPROP: "back-propagation (hidden units)"}
    texts = {
        "accuracy": "accuracy",
        "attacked": "accuracy at L∞ ε = 64/255, FGSM and PGD",
        "one step": "accuracy at L∞ ε = 64/255, FGSM alone",
    }
    found = [
        Measure(
            name=f"{head}: {text}, {name}",
            unit="%",
            values=tuple(100.0 * one[network][kind] for one in large),
        )
        for kind, text in texts.items()
        for network, name in names.items()
    ]
    return found + [
        Measure(
            name=f"{head}, features at the temperature of learning: accuracy, {name}",
            unit="%",
            values=tuple(100.0 * one[f"{name}, own temperature"] for one in large),
        )
        for name in ("soft", "hard")
    ]


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return six measures against the temperature."""
    figure = pictures.new_figure(7.4, 4.6)
    temperatures = results[0]["temperatures"]
    titles = {
        "named": ("accuracy, named units", "%", 100.0),
        "linear": ("accuracy, linear readout", "%", 100.0),
        "cross_entropy": ("held-out cross-entropy", "nats", 1.0),
        "used": ("units in use", "%", 100.0),
        "noisy": (f"accuracy, noise of σ = {SWEEP_SIGMA}", "%", 100.0),
        "attacked": (f"accuracy, L2 attack of {SWEEP_EPS}", "%", 100.0),
    }
    for axes, (name, (title, unit, scale)) in zip(
        figure.subplots(2, 3).flat, titles.items(), strict=True
    ):
        curves = {
            rung: [
                [scale * one["rungs"][rung][str(t)][name] for t in temperatures] for one in results
            ]
            for rung in rungs
        }
        shown = [max(t, 0.3 * min(temperatures[1:])) for t in temperatures]
        pictures.curves(axes, shown, curves)
        if RANDOM_START in results[0]:
            rows = [
                [scale * one[RANDOM_START][str(t)][name] for t in temperatures] for one in results
            ]
            look: dict[str, Any] = {"color": pictures.COLORS["rate"], "lw": 1, "ls": "--"}
            axes.plot(shown, np.mean(rows, axis=0), label=RANDOM_START, **look)
        axes.set(title=title, ylabel=unit, xscale="log")
        axes.set_xticks([shown[0], *temperatures[2::2]], ["hard", *map(str, temperatures[2::2])])
        axes.minorticks_off()
        axes.set_xlabel("temperature τ")
    figure.axes[list(titles).index("used")].legend(loc="center")  # the emptiest
    return {"soft-hard": figure}

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
from softhebb_spiking.experiments.differentiable import Differentiable, NamedUnits, predict
from softhebb_spiking.experiments.settings import HARD_TEMPERATURE
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import (
    BACKPROP,
    Trial,
    accuracy,
    linear_head,
    named_units,
)
from softhebb_spiking.validation import unit_norm_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = 7
FIXED_TEMPERATURE = 0.001  # the lowest that 24 bits for u/τ hold
ATTACK_EPS = {"linf": 64 / 255, "l2": 64 / 255}
SWEEP_EPS = 1.5  # L2
SWEEP_SIGMA = 0.5
_N_LABELS = 10_000
_N_TEST = 2_000
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
    random = {
        str(temperature): _measured(trial, "rate", temperature, "random")
        for temperature in trial.settings.temperatures
    }
    return {
        "temperatures": list(trial.settings.temperatures),
        "soft": trial.settings.temperature,
        "rungs": rows,
        "rate, random start": random,
        "large": _large_layer(trial),
    }


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
    units = named_units(classifier)
    attacked = attacks.projected_gradient(
        # The soft posterior's gradient for all: a hard one has none.
        NamedUnits(units.weights, units.log_prior, s.temperature, units.class_given_unit),
        X[few],
        y[few],
        norm="l2",
        eps=SWEEP_EPS,
        n_steps=s.attack_steps,
        n_restarts=1,
        seed=trial.seed,
        loss="cross-entropy",
    )
    return {
        "named": accuracy((posterior @ classifier.class_given_unit_).argmax(axis=1), y),
        "linear": accuracy(readout.predict(X), y),
        "linear, own temperature": accuracy(own.predict(X), y),
        "cross_entropy": theory.cross_entropy(
            unit_norm_samples(X), layer.weights_, layer.log_prior_, s.temperature
        ),
        "used": float((posterior.mean(axis=0) > _USED / layer.n_units).mean()),
        "noisy": accuracy(classifier.predict(noisy), y),
        "attacked": accuracy(classifier.predict(attacked), y[few]),
    }


def _large_layer(trial: Trial) -> dict[str, Any]:
    """Return the linear readout of a large layer, clean and attacked, and back-propagation."""
    s, data = trial.settings, trial.data
    rung = "event" if "event" in trial.rungs else trial.rungs[0]
    chosen = trial.generator("attacked").permutation(len(data.X_test))[: s.n_attacked // 2]
    X, y = data.X_test[chosen], data.y_test[chosen]
    found: dict[str, Any] = {"rung": rung, "n_units": s.n_units_readout}
    heads: dict[str, Differentiable] = {
        BACKPROP: trial.perceptron(n_units=s.n_units_readout, learning_rates=(1e-3,))
    }
    for name, temperature in (("soft", s.temperature), ("hard", HARD_TEMPERATURE)):
        changes = _changes(trial, rung, temperature)
        layer = trial.layer(rung, n_units=s.n_units_readout, **changes)
        heads[name] = linear_head(trial.read_linearly(layer))
        own = trial.read_linearly(layer, temperature=layer.temperature)
        found[f"{name}, own temperature"] = accuracy(own.predict(data.X_test), data.y_test)
    for name, head in heads.items():
        found[name] = {"accuracy": accuracy(predict(head, data.X_test), data.y_test)}
        for norm, eps in ATTACK_EPS.items():
            effort = {"n_steps": s.attack_steps, "n_restarts": s.attack_restarts}
            attacked = attacks.strongest_gradient(
                head, X, y, norm=norm, eps=eps, seed=trial.seed, **effort
            )
            found[name][norm] = accuracy(predict(head, attacked), y)
            one_step = attacks.fast_gradient(head, X, y, norm=norm, eps=eps)
            found[name][f"{norm}, one step"] = accuracy(predict(head, one_step), y)
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
        Measure(name="cross-entropy, hard minus soft", unit="nats", values=fall, must_exceed=0.0),
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
                values=gain("named", "rate, random start"),
            )
        )
    if rung == results[0]["large"]["rung"]:
        measures += _large_measures(results)
    return Claim(number=CLAIM, network=rung, measures=tuple(measures))


def _large_measures(results: Sequence[dict[str, Any]]) -> list[Measure]:
    large = [one["large"] for one in results]
    head = f"K = {large[0]['n_units']}, linear readout"
    found = [
        Measure(
            name=f"{head}: accuracy, {name}",
            unit="%",
            values=tuple(100.0 * one[name]["accuracy"] for one in large),
        )
        for name in ("soft", "hard", BACKPROP)
    ]
    found += [
        Measure(
            name=f"{head}, features at the temperature of learning: accuracy, {name}",
            unit="%",
            values=tuple(100.0 * one[f"{name}, own temperature"] for one in large),
        )
        for name in ("soft", "hard")
    ]
    for norm, text in (("linf", "L∞"), ("linf, one step", "L∞, one step"), ("l2", "L2")):
        found += [
            Measure(
                name=f"{head}: accuracy at ε = 64/255 in {text}, {name}",
                unit="%",
                values=tuple(100.0 * one[name][norm] for one in large),
            )
            for name in ("soft", "hard", BACKPROP)
        ]
    return found


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
        random = np.asarray(
            [
                [scale * one["rate, random start"][str(t)][name] for t in temperatures]
                for one in results
            ]
        )
        axes.plot(
            shown,
            random.mean(axis=0),
            "--",
            color=pictures.COLORS["rate"],
            lw=1,
            label="rate, random start",
        )
        axes.set(title=title, ylabel=unit, xscale="log")
        axes.set_xticks([shown[0], *temperatures[2::2]], ["hard", *map(str, temperatures[2::2])])
        axes.minorticks_off()
        axes.set_xlabel("temperature τ")
    figure.axes[list(titles).index("used")].legend(loc="center")  # the emptiest
    return {"soft-hard": figure}

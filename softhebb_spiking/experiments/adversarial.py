"""Claims 4 and 5: robust to attacks, and misled only by images that look like the other class.

White-box attacks descend on the analytic gradient of each network: of a spiking network that of
its rate posterior, since spikes have none; its answer to the attacked image is then read from
spikes. Whether that gradient is a poor guide (gradient masking) is looked for with attacks that
need none: images that misled back-propagation, and the Square attack straight on spike counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.experiments import attacks, pictures
from softhebb_spiking.experiments.differentiable import (
    LOSSES,
    Differentiable,
    Perceptron,
)
from softhebb_spiking.experiments.judge import Judge
from softhebb_spiking.experiments.settings import Settings
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, HARD, Trial, named_units
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM, CLAIM_OF_LOOKS = 4, 5
BLACK_BOX_EPS = 32 / 255  # L∞, or what is nearest to it among the budgets
ANCHOR_EPS = 64 / 255
N_SHOWN = 8


class Target:
    """A network as attacks see it, and as it answers.

    Attributes
    ----------
    surrogate : Differentiable
        Whose gradient white-box attacks follow.
    pure : Differentiable
        The same with every unit for one class alone. Where a unit has won by some nats, the
        evidence for other classes is what little it has of them, whatever other units do; a
        gradient of that is a poor guide, which this one is not.
    """

    def __init__(self, trial: Trial, network: str) -> None:
        if network == BACKPROP:
            perceptron = trial.perceptron()
            self.surrogate: Differentiable = perceptron
            self.pure: Differentiable = perceptron
            self.predict_proba: attacks.Predictor = perceptron.log_evidence
            return
        classifier = trial.named(trial.layer(network))
        units = named_units(classifier, trial.settings.temperature if network == HARD else None)
        n_classes = units.n_classes
        self.surrogate = units
        self.pure = replace(
            units, class_given_unit=np.eye(n_classes)[units.class_given_unit.argmax(axis=1)]
        )
        self.predict_proba = classifier.predict_proba

    def answers(self, X: FloatArray) -> IntArray:
        """Return the class that the network itself says, shape (n_samples,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    def misled(self, attacked: FloatArray, y: IntArray) -> NDArray[np.bool_]:
        """Return which samples the network misreads after any of several attacks."""
        return np.asarray(np.any([self.answers(one) != y for one in attacked], axis=0))


Attacked = Mapping[tuple[str, str], Sequence[FloatArray]]  # by network and norm, for each ε


def run(trial: Trial) -> dict[str, Any]:
    """Return accuracies under attack, success without gradients, and what the judge says."""
    data, s = trial.data, trial.settings
    chosen = trial.generator("attacked").permutation(len(data.X_test))[: s.n_attacked]
    X, y = data.X_test[chosen], data.y_test[chosen]
    targets = {name: Target(trial, name) for name in (*trial.rungs, HARD, BACKPROP)}
    attacked = _attack_all(trial, targets, X, y)
    judge = Judge(trial)
    return {
        "eps": {norm: [0.0, *eps_of(s, norm)] for norm in attacks.NORMS},
        "gradient_error": {
            name: gradient_error(target.surrogate, X, y, trial.generator("directions"))
            for name, target in targets.items()
        },
        "judge_accuracy": judge.accuracy,
        "white_box": _accuracies(targets, attacked, X, y, None),
        "transfer": _accuracies(targets, attacked, X, y, BACKPROP),
        "looks": {
            name: _looks(target, X, y, attacked[name, "l2"], judge)
            for name, target in targets.items()
        },
        "black_box": {
            name: _black_box(trial, target, X, y, attacked[name, "linf"])
            for name, target in targets.items()
        },
        "images": _examples(targets, X, y, attacked, s.eps_linf),
        "image_shape": list(data.image_shape),
    }


def _attack_all(
    trial: Trial, targets: Mapping[str, Target], X: FloatArray, y: IntArray
) -> dict[tuple[str, str], list[FloatArray]]:
    """Return attacked images, shape (n_attacks, n_samples, n_features) for each ε."""
    return {
        (name, norm): [
            _attempts(trial, target, X, y, norm=norm, eps=eps)
            for eps in eps_of(trial.settings, norm)
        ]
        for name, target in targets.items()
        for norm in attacks.NORMS
    }


def _attempts(trial: Trial, target: Target, X: FloatArray, y: IntArray, **ball: Any) -> FloatArray:
    """Return the samples after all attacks on the surrogate, and after PGD on `pure`."""
    s = trial.settings
    options: dict[str, Any] = {**ball, "n_steps": s.attack_steps, "seed": trial.seed}
    found = attacks.gradient_attacks(
        target.surrogate, X, y, n_restarts=s.attack_restarts, **options
    )
    more = attacks.projected_gradient(target.pure, X, y, **options)
    return np.concatenate([found, more[np.newaxis]])


def _accuracies(
    targets: Mapping[str, Target],
    attacked: Attacked,
    X: FloatArray,
    y: IntArray,
    source: str | None,
) -> dict[str, dict[str, list[float]]]:
    """Return accuracies at ε = 0 and each ε, on images made for the network or for `source`.

    A sample counts as read right if the network itself reads it right after every attack.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, target in targets.items():
        found[name] = {}
        for norm in attacks.NORMS:
            right = [~target.misled(X[np.newaxis], y)]
            right += [~target.misled(one, y) for one in attacked[source or name, norm]]
            found[name][norm] = [float(one.mean()) for one in right]
    return found


def eps_of(settings: Settings, norm: str) -> tuple[float, ...]:
    """Return the budgets of attacks in a norm."""
    return settings.eps_linf if norm == "linf" else settings.eps_l2


def gradient_error(
    classifier: Differentiable, X: FloatArray, y: IntArray, generator: np.random.Generator
) -> float | None:
    """Return the largest relative error of analytic gradients against finite differences.

    Compared are derivatives along random directions, at a random point in the box of pixels near
    each sample, of both losses. The numeric one is Richardson's extrapolation of two central
    differences. A sample is left out where four digits cannot be seen: a loss below 10⁻⁴, a
    direction almost along the level, a rectifier that bends within the step. None if all are.
    """
    X = np.clip(X[:20] + 0.1 * generator.random(X[:20].shape), 0.01, 0.99)
    y, h = y[:20], 1e-5
    direction = generator.standard_normal(X.shape)
    straight = _without_bend(classifier, X - 2.0 * h * direction, X + 2.0 * h * direction)
    errors: list[float] = []
    for loss in LOSSES.values():

        def slope(step: float, loss: Any = loss) -> FloatArray:
            up, _ = loss(classifier, X + step * direction, y)
            down, _ = loss(classifier, X - step * direction, y)
            return np.asarray((up - down) / (2.0 * step))

        value, gradient = loss(classifier, X, y)
        analytic = (gradient * direction).sum(axis=1)
        numeric = (4.0 * slope(h) - slope(2.0 * h)) / 3.0
        size = np.linalg.norm(gradient, axis=1)
        seen = (np.abs(value) > 1e-4) & (np.abs(analytic) > 0.05 * size) & (size > 0.0)
        seen &= straight
        errors += np.abs(numeric[seen] / analytic[seen] - 1.0).tolist()
    return max(errors, default=None)


def _without_bend(classifier: Differentiable, A: FloatArray, B: FloatArray) -> NDArray[np.bool_]:
    """Return of which samples no rectifier turns on or off between two points."""
    if not isinstance(classifier, Perceptron):
        return np.ones(len(A), dtype=np.bool_)
    return np.asarray((classifier.active(A) == classifier.active(B)).all(axis=1))


def _looks(
    target: Target, X: FloatArray, y: IntArray, attacked: Sequence[FloatArray], judge: Judge
) -> dict[str, Any]:
    """Return whether what misleads with the smallest ε looks like the class that is said.

    `judge_agrees` is None if nothing misleads.
    """
    right = target.answers(X) == y
    images, said = X.copy(), np.full(len(X), -1)
    for attacks_of_eps in reversed(attacked):  # so that the smallest ε has the last word
        strongest = attacks.strongest(target.surrogate, attacks_of_eps, y)
        answers = target.answers(strongest)
        wrong = right & (answers != y)
        images[wrong], said[wrong] = strongest[wrong], answers[wrong]
    found = said >= 0
    if not found.any():
        return {"n_misled": 0, "judge_agrees": None}
    agrees = judge.ranking(images[found])[:, 0] == said[found]
    return {"n_misled": int(found.sum()), "judge_agrees": float(agrees.mean())}


def _black_box(
    trial: Trial, target: Target, X: FloatArray, y: IntArray, white: Sequence[FloatArray]
) -> dict[str, float]:
    """Return the success of attacks without gradients, and of gradients on the same images.

    Square is run on what the network answers, which is spike counts on spiking rungs, and on the
    log-evidence of pure units, which is a smoother guide; either may mislead.
    """
    s = trial.settings
    nearest = int(np.argmin(np.abs(np.asarray(s.eps_linf) - BLACK_BOX_EPS)))
    right = np.flatnonzero(target.answers(X) == y)[: s.n_black_box]
    if len(right) == 0:
        return {"eps": s.eps_linf[nearest], "white_box": 0.0, "black_box": 0.0, "either": 0.0}
    found = [
        attacks.square(
            answer,
            X[right],
            y[right],
            trial.data.image_shape,
            n_classes=target.surrogate.n_classes,
            eps=s.eps_linf[nearest],
            n_queries=s.black_box_queries,
            seed=trial.seed,
        )
        for answer in (target.predict_proba, target.pure.log_evidence)
    ]
    by_gradients = target.misled(white[nearest][:, right], y[right])
    by_answers = target.misled(np.stack(found), y[right])
    return {
        "eps": s.eps_linf[nearest],
        "white_box": float(by_gradients.mean()),
        "black_box": float(by_answers.mean()),
        "either": float((by_gradients | by_answers).mean()),
    }


def _examples(
    targets: Mapping[str, Target],
    X: FloatArray,
    y: IntArray,
    attacked: Attacked,
    eps: Sequence[float],
) -> dict[str, Any]:
    """Return images before and after the attack at ε = 64/255, with what each network says."""
    i = int(np.argmin(np.abs(np.asarray(eps) - ANCHOR_EPS)))
    found: dict[str, Any] = {"eps": eps[i], "labels": y[:N_SHOWN].tolist()}
    found["rows"] = {"original": pictures.as_text(X[:N_SHOWN])}
    found["answers"] = {}
    for network, target in targets.items():
        images = attacks.strongest(target.surrogate, attacked[network, "linf"][i], y)[:N_SHOWN]
        found["rows"][network] = pictures.as_text(images)
        found["answers"][network] = target.answers(images).tolist()
    return found


def claims(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> list[Claim]:
    """Return whether each rung is harder to mislead, and misled by what looks like its answer."""
    robust = [_robustness(results, rung) for rung in rungs]
    return robust + [_looks_claim(results, rung) for rung in rungs]


def _robustness(results: Sequence[dict[str, Any]], rung: str) -> Claim:
    measures = [
        Measure(
            name=f"mean accuracy over attacks in {name}, minus back-propagation",
            unit="points",
            values=tuple(
                _mean(one["white_box"][rung][norm]) - _mean(one["white_box"][BACKPROP][norm])
                for one in results
            ),
            must_exceed=0.0,
        )
        for norm, name in (("linf", "L∞"), ("l2", "L2"))
    ]
    measures += _with_black_box(results, rung)
    measures += _at_anchor(results, rung)
    errors = [one["gradient_error"][rung] for one in results]
    if None not in errors:
        measures.append(
            Measure(
                name="decimal digits in which gradients are those of finite differences",
                unit="",
                values=tuple(-float(np.log10(error)) for error in errors),
            )
        )
    return Claim(number=CLAIM, network=rung, measures=tuple(measures))


def _with_black_box(results: Sequence[dict[str, Any]], rung: str) -> list[Measure]:
    """Return what attacks without gradients add to those with: masked gradients would show."""
    own = [one["black_box"][rung] for one in results]
    other = [one["black_box"][BACKPROP] for one in results]
    place = f"at L∞ ε = {255 * own[0]['eps']:.0f}/255"
    return [
        Measure(
            name=f"success {place}, gradients or Square: back-propagation's minus its own",
            unit="points",
            values=tuple(
                100.0 * (b["either"] - a["either"]) for a, b in zip(own, other, strict=True)
            ),
            must_exceed=0.0,
        ),
        Measure(
            name=f"success {place}, gradients minus Square",
            unit="points",
            values=tuple(100.0 * (one["white_box"] - one["black_box"]) for one in own),
        ),
        Measure(
            name=f"images {place} that Square alone misleads",
            unit="%",
            values=tuple(100.0 * (one["either"] - one["white_box"]) for one in own),
        ),
    ]


def _at_anchor(results: Sequence[dict[str, Any]], rung: str) -> list[Measure]:
    """Return accuracies at ε = 64/255 in L∞, of which the paper speaks."""
    i = int(np.argmin(np.abs(np.asarray(results[0]["eps"]["linf"]) - ANCHOR_EPS)))
    name = f"accuracy at L∞ ε = {255 * results[0]['eps']['linf'][i]:.0f}/255"
    columns = {
        name: ("white_box", rung),
        f"{name}, hard WTA": ("white_box", HARD),
        f"{name}, back-propagation": ("white_box", BACKPROP),
        f"{name} on images made for back-propagation": ("transfer", rung),
    }
    return [
        Measure(
            name=text,
            unit="%",
            values=tuple(100.0 * one[kind][network]["linf"][i] for one in results),
        )
        for text, (kind, network) in columns.items()
    ]


def _looks_claim(results: Sequence[dict[str, Any]], rung: str) -> Claim:
    pairs = [
        tuple(one["looks"][network]["judge_agrees"] for network in (rung, BACKPROP))
        for one in results
    ]
    known = [(100.0 * own, 100.0 * other) for own, other in pairs if None not in (own, other)]
    if not known:
        return Claim(number=CLAIM_OF_LOOKS, network=rung, measures=())
    return Claim(
        number=CLAIM_OF_LOOKS,
        network=rung,
        measures=(
            Measure(
                name="misleading images that the judge, too, puts in the wrong class said",
                unit="%",
                values=tuple(own for own, _ in known),
                must_exceed=50.0,
            ),
            Measure(
                name="the same, minus back-propagation",
                unit="points",
                values=tuple(own - other for own, other in known),
                must_exceed=0.0,
            ),
        ),
    )


def _mean(accuracies: Sequence[float]) -> float:
    return 100.0 * float(np.mean(accuracies[1:]))


def figures(results: Sequence[dict[str, Any]], rungs: Sequence[str]) -> dict[str, Figure]:
    """Return accuracies under attack, by gradients and by transfer, and attacked images."""
    figure = pictures.new_figure(7.4, 5.6)
    grid = figure.subplots(2, 2, sharey=True)
    networks = (*rungs, HARD, BACKPROP)
    kinds = {"white_box": "by gradients", "transfer": "made for back-propagation"}
    for row, (kind, title) in zip(grid, kinds.items(), strict=True):
        for axes, norm in zip(row, attacks.NORMS, strict=True):
            curves = {
                network: 100.0 * np.asarray([one[kind][network][norm] for one in results])
                for network in networks
            }
            scale = 255.0 if norm == "linf" else 1.0
            pictures.curves(axes, [scale * eps for eps in results[0]["eps"][norm]], curves)
            axes.set_title(f"{'L∞' if norm == 'linf' else 'L2'} attack, {title}")
            axes.set_xlabel("ε × 255" if norm == "linf" else "ε")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    grid[0, 1].legend()
    return {"adversarial": figure, "attacked-images": _image_figure(results[0])}


def _image_figure(one: dict[str, Any]) -> Figure:
    shown, shape = one["images"], one["image_shape"]
    rows = {
        name: pictures.from_text(text).reshape(-1, *shape) for name, text in shown["rows"].items()
    }
    labels = ["original: " + " ".join(map(str, shown["labels"]))]
    for name in list(rows)[1:]:
        said = " ".join(map(str, shown["answers"][name]))
        labels.append(f"{pictures.LABELS.get(name, name)}: {said}")
    figure = pictures.new_figure(7.4, 0.62 * len(rows) + 0.5, "compressed")
    axes = figure.subplots()
    pictures.images(axes, list(rows.values()), labels)
    axes.set_title(
        f"attacked by gradients, L∞ ε = {255 * shown['eps']:.0f}/255, and what each network says"
    )
    return figure

"""Claims 4 and 5: robust to attacks, and misled only by images that look like the other class.

White-box attacks descend on the analytic gradient of each network: of a spiking network that of
its rate posterior, since spikes have none; its answer to the attacked image is then read from
spikes. Whether that gradient is a poor guide (gradient masking) is looked for with attacks that
need none: images that misled back-propagation, and the Square attack straight on spike counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.experiments import attacks, pictures
from softhebb_spiking.experiments.differentiable import (
    LOSSES,
    Differentiable,
    NamedUnits,
)
from softhebb_spiking.experiments.judge import Judge
from softhebb_spiking.experiments.settings import Settings
from softhebb_spiking.experiments.statistics import Claim, Measure
from softhebb_spiking.experiments.trial import BACKPROP, HARD, Trial, accuracy, named_units
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
    """

    def __init__(self, trial: Trial, network: str) -> None:
        if network == BACKPROP:
            perceptron = trial.perceptron()
            self.surrogate: Differentiable = perceptron
            self.predict_proba: attacks.Predictor = perceptron.log_evidence
            return
        classifier = trial.named(trial.layer(network))
        units = named_units(classifier)
        if network == HARD:  # a winner that takes all has no gradient; the soft one's stands in
            units = NamedUnits(
                units.weights, units.log_prior, trial.settings.temperature, units.class_given_unit
            )
        self.surrogate = units
        self.predict_proba = classifier.predict_proba

    def answers(self, X: FloatArray) -> IntArray:
        """Return the class that the network itself says, shape (n_samples,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))


def run(trial: Trial) -> dict[str, Any]:
    """Return accuracies under attack, success without gradients, and what the judge says."""
    data, s = trial.data, trial.settings
    chosen = trial.generator("attacked").permutation(len(data.X_test))[: s.n_attacked]
    X, y = data.X_test[chosen], data.y_test[chosen]
    networks = (*trial.rungs, HARD, BACKPROP)
    targets = {network: Target(trial, network) for network in networks}
    attacked = {
        (network, norm): [
            attacks.strongest_gradient(
                targets[network].surrogate,
                X,
                y,
                norm=norm,
                eps=eps,
                n_steps=s.attack_steps,
                n_restarts=s.attack_restarts,
                seed=trial.seed,
            )
            for eps in eps_of(s, norm)
        ]
        for network in networks
        for norm in attacks.NORMS
    }
    judge = Judge(trial)
    found: dict[str, Any] = {
        "eps": {norm: [0.0, *eps_of(s, norm)] for norm in attacks.NORMS},
        "gradient_error": {
            network: gradient_error(target.surrogate, X, y, trial.generator("directions"))
            for network, target in targets.items()
        },
        "judge_accuracy": judge.accuracy,
    }
    for name, source in (("white_box", None), ("transfer", BACKPROP)):
        found[name] = {
            network: {
                norm: [
                    accuracy(target.answers(one), y)
                    for one in [X, *attacked[source or network, norm]]
                ]
                for norm in attacks.NORMS
            }
            for network, target in targets.items()
        }
    found["looks"] = {
        network: _looks(target, X, y, attacked[network, "l2"], eps_of(s, "l2"), judge)
        for network, target in targets.items()
    }
    found["black_box"] = {
        network: _black_box(trial, target, X, y, attacked[network, "linf"])
        for network, target in targets.items()
    }
    found["images"] = _examples(targets, X, y, attacked, found["eps"]["linf"])
    found["image_shape"] = list(data.image_shape)
    return found


def eps_of(settings: Settings, norm: str) -> tuple[float, ...]:
    """Return the budgets of attacks in a norm."""
    return settings.eps_linf if norm == "linf" else settings.eps_l2


def gradient_error(
    classifier: Differentiable, X: FloatArray, y: IntArray, generator: np.random.Generator
) -> float:
    """Return the largest relative error of analytic gradients against finite differences.

    Compared are derivatives along random directions, at a random point in the box of pixels near
    each sample, of both losses. The numeric one is Richardson's extrapolation of two central
    differences. Where they leave four digits to be seen nowhere (a loss below 10⁻⁴, a direction
    almost along the level), a sample is left out.
    """
    X = np.clip(X[:20] + 0.1 * generator.random(X[:20].shape), 0.01, 0.99)
    y, h = y[:20], 1e-5
    direction = generator.standard_normal(X.shape)
    largest = 0.0
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
        if seen.any():
            error = np.abs(numeric[seen] / analytic[seen] - 1.0)
            largest = max(largest, float(error.max()))
    return largest


def _looks(
    target: Target,
    X: FloatArray,
    y: IntArray,
    attacked: Sequence[FloatArray],
    eps: Sequence[float],
    judge: Judge,
) -> dict[str, Any]:
    """Return how small a change misleads, and whether what misleads looks like its new class."""
    right = target.answers(X) == y
    misled = np.full(len(X), len(eps))
    said = np.zeros(len(X), dtype=np.int64)
    for i in reversed(range(len(eps))):
        answers = target.answers(attacked[i])
        wrong = right & (answers != y)
        misled[wrong], said[wrong] = i, answers[wrong]
    first = np.array([attacked[i][row] for row, i in enumerate(misled) if i < len(eps)])
    found = misled < len(eps)
    sizes = np.where(found, np.asarray([*eps, 2.0 * eps[-1]])[misled], np.inf)
    result: dict[str, Any] = {"n_misled": int(found.sum())}
    finite = np.minimum(sizes[right], 2.0 * eps[-1])
    result["median_l2"] = float(np.median(finite)) if right.any() else 0.0
    result["judge_agrees"] = (
        float((judge.ranking(first)[:, 0] == said[found]).mean()) if found.any() else 0.0
    )
    return result


def _black_box(
    trial: Trial,
    target: Target,
    X: FloatArray,
    y: IntArray,
    white: Sequence[FloatArray],
) -> dict[str, float]:
    """Return the success of the Square attack, and of gradients on the same images."""
    s = trial.settings
    nearest = int(np.argmin(np.abs(np.asarray(s.eps_linf) - BLACK_BOX_EPS)))
    right = np.flatnonzero(target.answers(X) == y)[: s.n_black_box]
    found = attacks.square(
        target.predict_proba,
        X[right],
        y[right],
        trial.data.image_shape,
        n_classes=int(trial.data.y_train.max()) + 1,
        eps=s.eps_linf[nearest],
        n_queries=s.black_box_queries,
        seed=trial.seed,
    )
    return {
        "eps": s.eps_linf[nearest],
        "white_box": 1.0 - accuracy(target.answers(white[nearest][right]), y[right]),
        "black_box": 1.0 - accuracy(target.answers(found), y[right]),
    }


def _examples(
    targets: Mapping[str, Target],
    X: FloatArray,
    y: IntArray,
    attacked: Mapping[tuple[str, str], Sequence[FloatArray]],
    eps: Sequence[float],
) -> dict[str, Any]:
    """Return images before and after the attack at ε = 64/255, with what each network says."""
    i = int(np.argmin(np.abs(np.asarray(eps[1:]) - ANCHOR_EPS)))
    found: dict[str, Any] = {"eps": eps[1 + i], "labels": y[:N_SHOWN].tolist()}
    found["rows"] = {"original": pictures.as_text(X[:N_SHOWN])}
    found["answers"] = {}
    for network, target in targets.items():
        images = attacked[network, "linf"][i][:N_SHOWN]
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
    black_box = [one["black_box"][rung] for one in results]
    measures.append(
        Measure(
            name=f"success at L∞ ε = {255 * black_box[0]['eps']:.0f}/255: gradients minus Square",
            unit="points",
            values=tuple(100.0 * (one["white_box"] - one["black_box"]) for one in black_box),
        )
    )
    measures += _at_anchor(results, rung)
    measures.append(
        Measure(
            name="decimal digits in which gradients are those of finite differences",
            unit="",
            values=tuple(-float(np.log10(one["gradient_error"][rung])) for one in results),
        )
    )
    measures.append(
        Measure(
            name="median L2 size of a misleading change",
            unit="",
            values=tuple(one["looks"][rung]["median_l2"] for one in results),
        )
    )
    return Claim(number=CLAIM, network=rung, measures=tuple(measures))


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
    def share(network: str) -> tuple[float, ...]:
        return tuple(100.0 * one["looks"][network]["judge_agrees"] for one in results)

    own, other = share(rung), share(BACKPROP)
    return Claim(
        number=CLAIM_OF_LOOKS,
        network=rung,
        measures=(
            Measure(
                name="misleading images that the judge, too, puts in the wrong class said",
                unit="%",
                values=own,
                must_exceed=50.0,
            ),
            Measure(
                name="the same, minus back-propagation",
                unit="points",
                values=tuple(a - b for a, b in zip(own, other, strict=True)),
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

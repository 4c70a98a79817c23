"""How accuracy at ε = 64/255 depends on the strength of the attack, for soft, hard and backprop.

    python benchmarks/attack_strength.py --layers experiments-mnist/layers-0.1.0 --seeds 5

prints mean accuracies over seeds: one step (FGSM), PGD of more and more steps with either loss, and
PGD in L2, on K = 400 with named units and with a linear readout. Layers are those of
`softhebb-spiking experiment`, trained if they are not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from softhebb_spiking.experiments import attacks
from softhebb_spiking.experiments.differentiable import Differentiable, predict
from softhebb_spiking.experiments.settings import settings_of
from softhebb_spiking.experiments.trial import Trial, accuracy, linear_head, named_units

EPS = 64 / 255
STEPS = (1, 2, 5, 10, 40, 200)


def main(
    layers: Annotated[Path, typer.Option(help="folder of trained layers")],
    seeds: Annotated[int, typer.Option(help="how many")] = 5,
    samples: Annotated[int, typer.Option(help="attacked images of each seed")] = 100,
) -> None:
    """Print a line for each attack."""
    rows: dict[str, list[list[float]]] = {}
    names: list[str] = []
    for seed in range(seeds):
        trial = Trial("mnist", settings_of("mnist"), ("rate",), seed, layers)
        chosen = trial.generator("strength").permutation(len(trial.data.X_test))[:samples]
        X, y = trial.data.X_test[chosen], trial.data.y_test[chosen]
        targets = _targets(trial)
        names = list(targets)
        for attack, options in _attacks().items():
            found = [
                100.0 * accuracy(predict(target, _attacked(target, X, y, seed, options)), y)
                for target in targets.values()
            ]
            rows.setdefault(attack, []).append(found)
    typer.echo(f"{'attack':34}" + "".join(f"{name:>16}" for name in names))
    for attack, found in rows.items():
        typer.echo(f"{attack:34}" + "".join(f"{x:15.1f}%" for x in np.mean(found, axis=0)))


def _targets(trial: Trial) -> dict[str, Differentiable]:
    soft, hard = trial.layer("rate"), trial.layer("hard")
    return {
        "soft, named": named_units(trial.named(soft)),
        "hard, named": named_units(trial.named(hard), trial.settings.temperature),
        "soft, linear": linear_head(trial.read_linearly(soft)),
        "hard, linear": linear_head(trial.read_linearly(hard)),
        "backprop": trial.perceptron(),
    }


def _attacks() -> dict[str, dict[str, Any]]:
    pgd = {
        f"PGD {loss}, {n} steps, Linf": {"norm": "linf", "n_steps": n, "loss": loss}
        for loss in ("cross-entropy", "margin")
        for n in STEPS
    }
    found: dict[str, dict[str, Any]] = {"none": {}, "FGSM, Linf": {"norm": "linf"}}
    return found | pgd | {"PGD, 40 steps, L2": {"norm": "l2", "n_steps": 40, "loss": "margin"}}


def _attacked(target: Differentiable, X: Any, y: Any, seed: int, options: dict[str, Any]) -> Any:
    if not options:
        return X
    if "n_steps" not in options:
        return attacks.fast_gradient(target, X, y, eps=EPS, **options)
    return attacks.projected_gradient(target, X, y, eps=EPS, seed=seed, **options)


if __name__ == "__main__":
    typer.run(main)

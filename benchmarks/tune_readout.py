"""Choose the temperature and the strength of the linear readout on held-out training images.

    python benchmarks/tune_readout.py --units 2000 --seed 0

trains a layer on the first 50 000 training images of MNIST, the readout on the same, and scores the
last 10 000. The test set is not read.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from softhebb_spiking import LinearReadout, SpikingSoftHebb, load_dataset

N_TRAIN = 50_000
TEMPERATURES = (0.02, 0.03, 0.045)
REGULARIZATIONS = (10.0, 30.0, 100.0, 300.0)


def main(
    units: Annotated[int, typer.Option(help="units of the layer")] = 2000,
    learning_rate: Annotated[float, typer.Option(help="of the layer")] = 0.4,
    seed: Annotated[int, typer.Option(help="of the layer")] = 0,
) -> None:
    """Print a line for each setting."""
    data = load_dataset("mnist")
    X, y = data.X_train[:N_TRAIN], data.y_train[:N_TRAIN]
    held_out = data.X_train[N_TRAIN:], data.y_train[N_TRAIN:]
    layer = SpikingSoftHebb(
        units,
        inhibition="exact",
        temperature=0.015,
        learning_rate=learning_rate,
        max_probability=0.5,
        settle_steps=10,
        n_steps=15,
        random_state=seed,
    ).fit(X)
    typer.echo("temperature regularization held-out accuracy")
    for temperature, strength in itertools.product(TEMPERATURES, REGULARIZATIONS):
        readout = LinearReadout(layer, temperature=temperature, regularization=strength).fit(X, y)
        typer.echo(f"{temperature:11} {strength:14} {100 * readout.score(*held_out):.2f} %")


if __name__ == "__main__":
    typer.run(main)

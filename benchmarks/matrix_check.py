"""Learn from five digits on one backend: ``python matrix_check.py event|lava|brian2``."""

import sys

import numpy as np

from softhebb_spiking import SpikingSoftHebb, load_dataset


def main(backend: str) -> None:
    """Print one line if the weights moved and stayed finite; raise otherwise."""
    data = load_dataset("digits")
    start = np.asarray(data.X_train[5:15], dtype=float)
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    model = SpikingSoftHebb(
        n_units=10,
        backend=backend,
        n_steps=20,
        settle_steps=10,
        population_size=8,
        total_rate=2.0,
        random_state=0,
    )
    model.fit(data.X_train[:5], initial_weights=start)
    change = np.abs(model.weights_ - start).max()
    if not np.isfinite(model.weights_).all():
        raise SystemExit(f"{backend}: weights_ should be finite after five samples, but are not")
    if change < 1e-3:
        raise SystemExit(f"{backend}: weights_ should move while learning, largest change {change}")
    print(f"{backend}: {model.weights_.shape} weights, largest change {change:.3f}")


if __name__ == "__main__":
    main(sys.argv[1])

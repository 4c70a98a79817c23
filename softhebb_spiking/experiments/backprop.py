"""The network that SoftHebb is compared with: as many hidden units, trained by back-propagation."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from softhebb_spiking.experiments.differentiable import Perceptron, predict
from softhebb_spiking.validation import FloatArray, IntArray

BATCH_SIZES = (1, 8, 32)
Choice = tuple[float, int, int]  # learning rate, batch size, passes
MAX_STEPS = 2000  # that a batch smaller than the largest may take


def train_perceptron(
    X: FloatArray,
    y: IntArray,
    *,
    n_samples: int,
    n_validation: int,
    n_units: int,
    learning_rates: tuple[float, ...],
    seed: int,
    n_passes: tuple[int, ...] = (1,),
) -> Perceptron:
    """Return a network of one hidden layer trained by Adam, which sees `n_samples` samples.

    Its learning rate, batch size and number of passes are those that read the last `n_validation`
    training samples best, when trained without them; then it is trained on all that it may see.

    Parameters
    ----------
    X : ndarray of shape (n_train, n_features)
        Training samples, pixels from 0 to 1.
    y : ndarray of shape (n_train,)
        Labels, 0, 1, 2, ...
    n_samples : int
        The first ones; more than there are: whole passes over all.
    n_validation : int
        The last ones, to choose the learning rate by.
    n_units : int
        Hidden units.
    learning_rates : tuple of float
        What may be chosen.
    seed : int
        Of initial weights and the order of samples.
    n_passes : tuple of int
        How often it may go over its samples.
    """
    whole, shown = max(1, n_samples // len(X)), min(n_samples, len(X))
    n_classes = int(y.max()) + 1

    def trained(choice: Choice, n: int) -> Perceptron:
        return _trained(X[:n], y[:n], n_classes, n_units, choice, seed)

    choices = [
        (rate, size, whole * passes)
        for rate in learning_rates
        for passes in n_passes
        for size in _batch_sizes(shown * whole * passes)
    ]
    if len(choices) == 1:
        return trained(choices[0], shown)
    n_fitted = min(shown, len(X) - n_validation)
    held_out, labels = X[len(X) - n_validation :], y[len(X) - n_validation :]
    scores = [(predict(trained(choice, n_fitted), held_out) == labels).mean() for choice in choices]
    return trained(choices[int(np.argmax(scores))], shown)


def _batch_sizes(n_shown: int) -> list[int]:
    """Return what may be chosen: the fewer samples, the smaller batches."""
    *small, largest = BATCH_SIZES
    return [size for size in small if n_shown <= size * MAX_STEPS] + [largest]


def _trained(
    X: FloatArray,
    y: IntArray,
    n_classes: int,
    n_units: int,
    choice: Choice,
    seed: int,
) -> Perceptron:
    learning_rate, batch_size, n_passes = choice
    model = MLPClassifier(
        (n_units,),
        solver="adam",
        batch_size=min(batch_size, len(X)),
        learning_rate_init=learning_rate,
        random_state=seed,
    )
    # Passes by hand: fit() would warn of each that it did not converge, and may stop before.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(n_passes):
            model.partial_fit(X, y, classes=np.arange(n_classes))
    (hidden, output), (hidden_biases, intercepts) = model.coefs_, model.intercepts_
    return Perceptron(hidden.T, hidden_biases, output.T, intercepts)

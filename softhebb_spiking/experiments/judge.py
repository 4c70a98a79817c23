"""A classifier that no experiment attacks or trains on: it says what images look like.

No person looks at the images here. A support vector machine that has learned from images with
and without noise stands for one; what it says is a measured statement, and no more.
"""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from softhebb_spiking.experiments.differentiable import unit_norm
from softhebb_spiking.experiments.trial import Trial
from softhebb_spiking.validation import FloatArray, IntArray

N_SAMPLES = 6_000
NOISE = 0.25  # on half of its samples: it must not be misled by grain
_PENALTY = 10.0


class Judge:
    """A support vector machine with radial basis functions.

    Parameters
    ----------
    trial : Trial
        Whose training samples it learns from, and whose test samples say how often it is right.

    Attributes
    ----------
    n_classes : int
        Classes.
    accuracy : float
        Share of the first 1000 test samples that it reads right.
    """

    def __init__(self, trial: Trial) -> None:
        data, generator = trial.data, trial.generator("judge")
        chosen = generator.permutation(len(data.X_train))[:N_SAMPLES]
        X = data.X_train[chosen]
        self._directions = unit_norm(X)
        noisy = np.arange(len(X)) % 2 == 1
        X[noisy] = np.clip(X[noisy] + NOISE * generator.standard_normal(X[noisy].shape), 0.0, 1.0)
        self._size = float(np.median(np.linalg.norm(data.X_train, axis=1)))
        self._machine = SVC(C=_PENALTY, cache_size=1000).fit(X, data.y_train[chosen])
        few = slice(0, 1000)
        self.n_classes = len(self._machine.classes_)
        self.accuracy = float((self.ranking(data.X_test[few])[:, 0] == data.y_test[few]).mean())

    def ranking(self, X: FloatArray) -> IntArray:
        """Return classes from the most to the least likely, shape (n_samples, n_classes)."""
        return np.asarray(np.argsort(-self._machine.decision_function(X), axis=1))

    def nearest_cosine(self, X: FloatArray) -> FloatArray:
        """Return the cosine of each image to the training image that is nearest to it."""
        return np.asarray((unit_norm(X) @ self._directions.T).max(axis=1))

    def as_images(self, X: FloatArray) -> FloatArray:
        """Return samples of any scale as images of the size and the range of its own."""
        X = np.maximum(X, 0.0)
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        return np.asarray(np.clip(self._size * X / np.where(norms > 0.0, norms, 1.0), 0.0, 1.0))

"""What ART asks of a classifier, answered by this package's; imported only where ART is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentNumpy, SquareAttack
from art.estimators import BaseEstimator, LossGradientsMixin, NeuralNetworkMixin
from art.estimators.classification import ClassifierMixin
from scipy.special import softmax

from softhebb_spiking.experiments.differentiable import LOSSES, Differentiable
from softhebb_spiking.validation import FloatArray

__all__ = [
    "BlackBox",
    "FastGradientMethod",
    "ProjectedGradientDescentNumpy",
    "SquareAttack",
    "WhiteBox",
]


class WhiteBox(ClassifierMixin, LossGradientsMixin, NeuralNetworkMixin, BaseEstimator):
    """A differentiable classifier of rows of pixels.

    Parameters
    ----------
    classifier : Differentiable
        The classifier.
    input_shape : tuple of int
        Shape of one sample.
    loss : {"cross-entropy", "margin"}
        What attacks raise.
    """

    def __init__(self, classifier: Differentiable, input_shape: tuple[int, ...], loss: str) -> None:
        super().__init__(model=classifier, clip_values=(0.0, 1.0), channels_first=True)
        self._input_shape = input_shape
        self._nb_classes = classifier.n_classes
        self._loss = LOSSES[loss]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._input_shape

    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> FloatArray:
        """Return class posteriors."""
        return np.asarray(softmax(self.model.log_evidence(x.astype(np.float64)), axis=1))

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> FloatArray:
        """Return the gradient of the loss of each sample with respect to its pixels."""
        _, gradient = self._loss(self.model, x.astype(np.float64), y.argmax(axis=1))
        return np.asarray(gradient)

    def fit(self, x: Any, y: Any, **kwargs: Any) -> None:
        """Refuse: attacks do not train."""
        raise TypeError("an attacked classifier is trained already.")

    def get_activations(self, x: Any, layer: Any, batch_size: int, framework: bool = False) -> Any:
        """Refuse: no attack here asks for hidden layers."""
        raise TypeError("hidden layers are not shown to attacks.")


class BlackBox(WhiteBox):
    """A classifier of images of which only the answers are seen.

    Parameters
    ----------
    predict_proba : callable
        Class posteriors of rows of pixels.
    image_shape : tuple of int
        (height, width).
    n_classes : int
        Classes.
    """

    def __init__(
        self,
        predict_proba: Callable[[FloatArray], FloatArray],
        image_shape: tuple[int, int],
        n_classes: int,
    ) -> None:
        BaseEstimator.__init__(self, model=None, clip_values=(0.0, 1.0))
        self._channels_first = True
        self._input_shape = (1, *image_shape)
        self._nb_classes = n_classes
        self._predict_proba = predict_proba

    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> FloatArray:
        """Return class posteriors."""
        return np.asarray(self._predict_proba(x.reshape(len(x), -1).astype(np.float64)))

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> FloatArray:
        """Refuse: this classifier has no gradient."""
        raise TypeError("a black box shows no gradient.")

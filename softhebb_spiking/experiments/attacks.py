"""Adversarial attacks by the Adversarial Robustness Toolbox (ART) on classifiers of this package.

White-box attacks are given the analytic gradients of `differentiable`; black-box attacks see the
answers of a classifier only, and so can attack spike counts themselves.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from softhebb_spiking.experiments.differentiable import LOSSES, Differentiable, margin_loss
from softhebb_spiking.validation import FloatArray, IntArray

_SEEDS_APART = 1000  # of restarts, so that no two seeds of an experiment share a starting point
NORMS = {"linf": math.inf, "l2": 2.0}
STEP_SHARE = 2.5  # Madry et al. 2018: steps of 2.5 ε over their number can reach and walk the rim
Predictor = Callable[[FloatArray], FloatArray]


def require_installed() -> None:
    """Raise unless the libraries that attacks need are there.

    Raises
    ------
    ImportError
        With the install line.
    """
    try:
        _art()
    except ImportError as error:
        raise ImportError(
            f"the adversarial experiments need {error.name or 'art'}: "
            'pip install "softhebb-spiking[experiments]"'
        ) from error


def _art() -> Any:
    """Return the module that needs ART, imported when it is first asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch is not there
        from softhebb_spiking.experiments import _art_estimators
    return _art_estimators


def fast_gradient(
    classifier: Differentiable, X: FloatArray, y: IntArray, *, norm: str, eps: float
) -> FloatArray:
    """Return the samples after one step of size ε along the gradient of cross-entropy (FGSM)."""
    art = _art()
    estimator = art.WhiteBox(classifier, X.shape[1:], "cross-entropy")
    attack = art.FastGradientMethod(estimator, norm=NORMS[norm], eps=eps, batch_size=len(X))
    return _inside(attack.generate(X, _one_hot(y, classifier)), X, norm, eps)


def projected_gradient(
    classifier: Differentiable,
    X: FloatArray,
    y: IntArray,
    *,
    norm: str,
    eps: float,
    n_steps: int,
    seed: int,
    loss: str = "margin",
) -> FloatArray:
    """Return the samples after projected gradient descent (PGD) from a random point of an ε-ball.

    Parameters
    ----------
    classifier : Differentiable
        What is attacked.
    X : ndarray of shape (n_samples, n_features)
        Pixels from 0 to 1.
    y : ndarray of shape (n_samples,)
        True classes.
    norm : {"linf", "l2"}
        Of the ball.
    eps : float
        Its radius.
    n_steps : int
        Steps of the descent.
    seed : int
        Of the point.
    loss : {"margin", "cross-entropy"}
        What is raised.
    """
    art = _art()
    attack = art.ProjectedGradientDescentNumpy(
        art.WhiteBox(classifier, X.shape[1:], loss),
        norm=NORMS[norm],
        eps=eps,
        eps_step=STEP_SHARE * eps / n_steps,
        max_iter=n_steps,
        num_random_init=1,
        batch_size=len(X),
        verbose=False,
    )
    with numpy_seeded(seed):
        return _inside(attack.generate(X, _one_hot(y, classifier)), X, norm, eps)


def gradient_attacks(
    classifier: Differentiable,
    X: FloatArray,
    y: IntArray,
    *,
    norm: str,
    eps: float,
    n_restarts: int,
    seed: int,
    n_steps: int,
) -> FloatArray:
    """Return the samples after FGSM, and after each restart of PGD with each loss.

    All are kept, because what misleads this classifier least may mislead the network that it
    stands in for.

    Parameters
    ----------
    classifier, X, y, norm, eps, n_steps
        As for `projected_gradient`.
    n_restarts : int
        Descents with each loss.
    seed : int
        Of all their starting points.

    Returns
    -------
    ndarray of shape (n_attacks, n_samples, n_features)
    """
    ball: dict[str, Any] = {"norm": norm, "eps": eps}
    found = [fast_gradient(classifier, X, y, **ball)]
    for i, loss in enumerate(loss for loss in LOSSES for _ in range(n_restarts)):
        effort: dict[str, Any] = {"n_steps": n_steps, "seed": seed + _SEEDS_APART * i}
        found.append(projected_gradient(classifier, X, y, **ball, **effort, loss=loss))
    return np.stack(found)


def strongest(classifier: Differentiable, attacked: FloatArray, y: IntArray) -> FloatArray:
    """Return of each sample the attack that raises the margin loss most.

    Parameters
    ----------
    classifier : Differentiable
        Whose margin.
    attacked : ndarray of shape (n_attacks, n_samples, n_features)
        From `gradient_attacks`.
    y : ndarray of shape (n_samples,)
        True classes.
    """
    margins = np.stack([margin_loss(classifier, one, y)[0] for one in attacked])
    return np.asarray(attacked[margins.argmax(axis=0), np.arange(len(y))])


def square(
    predict_proba: Predictor,
    X: FloatArray,
    y: IntArray,
    image_shape: tuple[int, int],
    *,
    n_classes: int,
    eps: float,
    n_queries: int,
    seed: int,
) -> FloatArray:
    """Return the samples after the Square attack in L∞, which asks for answers only.

    In L2, ART's divides by the size of what a square changes, which is 0 where it changes nothing.

    Parameters
    ----------
    predict_proba : callable
        Class posteriors of samples, shape (n_samples, n_classes); they may be noisy.
    X, y, eps, seed
        As for `projected_gradient`.
    image_shape : tuple of int
        (height, width).
    n_classes : int
        Classes.
    n_queries : int
        Squares that are tried.
    """
    art = _art()
    estimator = art.BlackBox(predict_proba, image_shape, n_classes)
    attack = art.SquareAttack(
        estimator, norm=np.inf, eps=eps, max_iter=n_queries, batch_size=len(X), verbose=False
    )
    images = X.reshape(-1, 1, *image_shape).astype(np.float32)
    with numpy_seeded(seed):
        found = attack.generate(images, np.eye(n_classes)[y])
    return _inside(found.reshape(X.shape), X, "linf", eps)


def _one_hot(y: IntArray, classifier: Differentiable) -> FloatArray:
    return np.eye(classifier.n_classes)[y]


def _inside(found: Any, X: FloatArray, norm: str, eps: float) -> FloatArray:
    """Return the samples, moved back into the ball that single precision may have left."""
    change = np.asarray(found, dtype=np.float64) - X
    if norm == "linf":
        change = np.clip(change, -eps, eps)
    else:
        sizes = np.linalg.norm(change, axis=1, keepdims=True)
        change = change * np.minimum(1.0, eps / np.maximum(sizes, 1e-12))
    return np.clip(X + change, 0.0, 1.0)


@contextlib.contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that ART draws from, and put them back afterwards."""
    import random

    before, before_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(before_python)

"""Naming units by labels: P(c | x) = Σ_k y_k P(c | k)."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning, NotFittedError

from softhebb_spiking import SoftHebb, UnitLabelClassifier

POSTERIOR = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0]])
LABELS = np.array(["cat", "cat", "dog", "cat"])


class Fixed(BaseEstimator):
    """Stands for a fitted estimator."""

    def __init__(self, posterior: NDArray[np.float64]) -> None:
        self.posterior = posterior

    def fit(self, X: Any) -> Any:
        raise AssertionError("it has learned already")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return self.posterior[np.asarray(X, int)[:, 0]]


X = np.arange(4)[:, np.newaxis]


def test_by_hand() -> None:
    classifier = UnitLabelClassifier(Fixed(POSTERIOR)).fit(X, LABELS)
    assert classifier.classes_.tolist() == ["cat", "dog"]
    # Unit 0: 0.9 + 0.6 + 0.3 of 2.0 for cats; unit 1: 0.1 + 0.4 + 0.7 of 2.0; unit 2 took no part.
    expected = [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]
    np.testing.assert_allclose(classifier.class_given_unit_, expected, rtol=1e-14)
    probabilities = classifier.predict_proba(X)
    by_hand = [[0.87, 0.13], [0.78, 0.22], [0.66, 0.34], [0.69, 0.31]]
    np.testing.assert_allclose(probabilities, by_hand, rtol=1e-14)
    assert classifier.predict(X).tolist() == ["cat"] * 4
    assert classifier.score(X, LABELS) == 0.75


def test_posteriors_at_hand_give_the_same() -> None:
    one = UnitLabelClassifier(Fixed(POSTERIOR)).fit(X, LABELS)
    other = UnitLabelClassifier(Fixed(POSTERIOR)).fit_posterior(POSTERIOR, LABELS)
    np.testing.assert_array_equal(one.class_given_unit_, other.class_given_unit_)


def test_separable_classes_are_read_without_error() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    samples = np.eye(3)[labels] + 0.02 * rng.random((60, 3))
    model = SoftHebb.from_weights(np.eye(3)[[2, 0, 1]])
    classifier = UnitLabelClassifier(model).fit(samples, 10 * labels)
    assert classifier.score(samples, 10 * labels) == 1.0
    assert classifier.classes_.tolist() == [0, 10, 20]
    # Drives 0.97 apart at τ = 0.02: other units take less than e^(−45).
    np.testing.assert_allclose(classifier.class_given_unit_, np.eye(3)[[2, 0, 1]], atol=1e-15)
    assert classifier.score(samples, 10 * rng.permutation(labels)) < 0.7


def test_labels_must_match_the_samples() -> None:
    classifier = UnitLabelClassifier(Fixed(POSTERIOR))
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[4, 3\]"):
        classifier.fit(X, LABELS[:3])
    with pytest.raises(ValueError, match="one label for each of 4 samples, got shape"):
        classifier.fit_posterior(POSTERIOR, LABELS[:3])
    for labels in ("cat", np.stack([LABELS, LABELS])):
        with pytest.raises(ValueError, match="y should be a 1d array"):
            classifier.fit(X, labels)
    assert not hasattr(classifier, "classes_")
    with pytest.warns(DataConversionWarning):
        classifier.fit(X, LABELS[:, np.newaxis])
    assert classifier.classes_.tolist() == ["cat", "dog"]


def test_unfitted() -> None:
    classifier = UnitLabelClassifier(Fixed(POSTERIOR))
    for call in (classifier.predict, classifier.predict_proba):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        UnitLabelClassifier(SoftHebb(3)).fit_posterior(POSTERIOR, LABELS)

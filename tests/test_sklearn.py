"""The estimators keep scikit-learn's contract: its own checks, pipelines, searches, data frames."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from softhebb_spiking import (
    Checkpoint,
    LinearReadout,
    SoftHebb,
    SpikingSoftHebb,
    UnitLabelClassifier,
    load_dataset,
    load_model,
)
from softhebb_spiking.recording_parts import record_in_parts

DIGITS = load_dataset("digits")
X = np.round(16 * DIGITS.X_train[:300]).astype(np.uint8)
Y = DIGITS.y_train[:300]
RATE = SoftHebb(n_units=15, random_state=0)
EVENT = SpikingSoftHebb(n_units=15, n_steps=20, settle_steps=10, random_state=0)

# --- scikit-learn's own checks --------------------------------------------------------------------

# Their samples hold a row of zeros: it has no direction, and is refused with a message of ours.
ZEROS = "its samples hold a row of zeros, which is refused: it has no direction"
WITH_ZEROS = dict.fromkeys(
    (
        "check_estimators_dtypes",
        "check_estimator_sparse_tag",
        "check_estimator_sparse_array",
        "check_estimator_sparse_matrix",
        "check_fit2d_1feature",
    ),
    ZEROS,
)
ORDER = "random spikes belong to the place of a sample in a call: other places, other spikes"
OF_SPIKES = dict.fromkeys(
    ("check_methods_sample_order_invariance", "check_methods_subset_invariance"), ORDER
)
EXPECTED: dict[str, dict[str, str]] = {"SpikingSoftHebb": WITH_ZEROS | OF_SPIKES}


@parametrize_with_checks(
    [
        SoftHebb(n_units=5, random_state=0),
        SpikingSoftHebb(n_units=5, n_steps=10, settle_steps=5, random_state=0),
        UnitLabelClassifier(SoftHebb(n_units=20, random_state=0)),
        LinearReadout(SoftHebb(n_units=20, random_state=0)),
    ],
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator).__name__, WITH_ZEROS),
)
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


# What those checks would have looked at, on samples without a row of zeros.


@pytest.mark.parametrize("estimator", [RATE, EVENT], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "kind",
    ["csr_matrix", "csr_array", "csc_array", "coo_array", "coo_matrix", "bsr_array", "dia_array"],
)
def test_sparse_samples_give_the_same_bits(estimator: Any, kind: str) -> None:
    dense = clone(estimator).fit(X)
    given = getattr(sparse, kind)(X)
    found = clone(estimator).fit(given)
    np.testing.assert_array_equal(found.weights_, dense.weights_)
    np.testing.assert_array_equal(found.predict_proba(given), dense.predict_proba(X))
    found.partial_fit(given)
    np.testing.assert_array_equal(found.weights_, dense.partial_fit(X).weights_)
    batches = [given.tocsr()[:100], given.tocsr()[100:]]
    streamed = clone(estimator).fit(batches, n_samples=len(X))
    np.testing.assert_array_equal(streamed.weights_, clone(estimator).fit(X).weights_)


def test_sparse_samples_are_checked_and_never_made_dense_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match=r"Negative values in data.*row 2, feature 1"):
        RATE.fit(sparse.csr_array(np.array([[1.0, 0], [0, 1], [1, -1]])))
    with pytest.raises(ValueError, match=r"all-zero row \(row 1"):
        RATE.fit(sparse.csr_array(np.array([[1.0, 0], [0, 0], [1, 1]])))
    with pytest.raises(ValueError, match="Complex data not supported"):
        RATE.fit(sparse.csr_array(np.ones((2, 2), dtype=complex)))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        RATE.fit(sparse.csr_array((0, 4)))
    sizes = []
    toarray = sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda self: (sizes.append(self.shape[0]), toarray(self))[1]
    )
    clone(RATE).fit(sparse.csr_array(np.tile(X, (10, 1))))
    assert max(sizes) <= 1000


@pytest.mark.parametrize("estimator", [RATE, EVENT], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, object, bool])
def test_types_of_numbers(estimator: Any, dtype: Any) -> None:
    given = (X > 8 if dtype is bool else X).astype(dtype)
    expected = clone(estimator).fit(given.astype(np.float64))
    np.testing.assert_array_equal(clone(estimator).fit(given).weights_, expected.weights_)


def test_one_feature_says_so_when_another_number_comes() -> None:
    model = clone(RATE).fit(np.ones((20, 1)))
    np.testing.assert_allclose(model.weights_, 1.0)
    with pytest.raises(ValueError, match="X has 2 features, but SoftHebb is expecting 1 feature"):
        model.predict(np.ones((3, 2)))


# --- how it is used -------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [RATE, EVENT], ids=lambda one: type(one).__name__)
def test_a_pipeline_in_a_grid_search(layer: Any) -> None:
    pipeline = make_pipeline(MaxAbsScaler(), UnitLabelClassifier(layer))
    grid = {"unitlabelclassifier__estimator__n_units": [2, 15]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    # Two units can hardly name more than two classes of ten.
    assert search.best_params_ == {"unitlabelclassifier__estimator__n_units": 15}
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < 0.35 < 0.5 < scores[1]
    assert search.predict(DIGITS.X_test[:5]).shape == (5,)


def test_a_layer_that_has_learned_is_read_as_it_is_and_a_clone_learns_anew() -> None:
    layer = clone(RATE).fit(X)
    before = layer.weights_.copy()
    reader = UnitLabelClassifier(layer).fit(X[:50], Y[:50])
    assert reader.estimator_ is layer
    np.testing.assert_array_equal(layer.weights_, before)
    again = clone(reader).fit(X[:50], Y[:50])
    assert again.estimator_ is not again.estimator
    np.testing.assert_array_equal(again.estimator_.weights_, clone(RATE).fit(X[:50]).weights_)
    frozen = clone(UnitLabelClassifier(FrozenEstimator(layer))).fit(X[:50], Y[:50])
    np.testing.assert_array_equal(frozen.predict_proba(X), reader.predict_proba(X))


@pytest.mark.parametrize(
    "estimator",
    [RATE, EVENT, UnitLabelClassifier(EVENT), LinearReadout(RATE)],
    ids=lambda one: type(one).__name__,
)
def test_pickles_go_on_as_the_original(estimator: Any) -> None:
    model = clone(estimator).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    fresh = pickle.loads(pickle.dumps(clone(estimator))).fit(X, Y)
    np.testing.assert_array_equal(fresh.predict_proba(X), model.predict_proba(X))


def test_data_frames_in_and_out() -> None:
    pandas = pytest.importorskip("pandas")
    names = [f"pixel {i}" for i in range(X.shape[1])]
    frame = pandas.DataFrame(X, columns=names)
    model = clone(RATE).set_output(transform="pandas").fit(frame)
    found = model.transform(frame)
    assert list(found.columns) == [f"softhebb{k}" for k in range(15)]
    np.testing.assert_array_equal(found.to_numpy(), model.predict_proba(frame))
    reader = UnitLabelClassifier(model).fit(frame, Y)
    assert list(reader.feature_names_in_) == names
    with pytest.raises(ValueError, match="feature names should match"):
        reader.predict(frame[names[::-1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "y should be a 1d array"),
        (np.linspace(0.0, 1.0, 300), "Unknown label type: continuous"),
        (Y[:-1], "inconsistent numbers of samples"),
    ],
)
def test_labels_that_are_no_classes(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnitLabelClassifier(clone(RATE)).fit(X, labels)


def test_frames_with_checkpoints_and_files(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
    path = tmp_path / "c"
    model = clone(RATE).fit(frame, checkpoint=Checkpoint(path, every_samples=100))
    resumed = clone(RATE).fit(frame, checkpoint=Checkpoint(path, every_samples=100, resume=True))
    np.testing.assert_array_equal(resumed.weights_, model.weights_)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert list(again.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame[frame.columns[::-1]])


def test_a_recording_in_parts_knows_its_features(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:20], columns=[f"pixel {i}" for i in range(X.shape[1])])
    model = clone(EVENT).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        record_in_parts(model, frame[frame.columns[::-1]], tmp_path / "a", samples_per_part=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = record_in_parts(model, frame, tmp_path / "b", samples_per_part=10)
    whole = model.record(frame)
    found = np.concatenate([part.spike_counts for part in parts])
    np.testing.assert_array_equal(found, whole.spike_counts)


def test_a_readout_that_cannot_be_fitted_stays_what_it_was() -> None:
    reader = LinearReadout(clone(RATE)).fit(X, Y)
    before = reader.predict_proba(X)
    for labels, message in ((np.zeros(len(X), int), "class"), (Y[:-1], "inconsistent numbers")):
        with pytest.raises(ValueError, match=message):
            reader.fit(X, labels)
        np.testing.assert_array_equal(reader.predict_proba(X), before)
    fresh = LinearReadout(clone(RATE))
    with pytest.raises(ValueError, match="class"):
        fresh.fit(X, np.zeros(len(X), int))
    for call in (fresh.predict, fresh.features):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        UnitLabelClassifier(FrozenEstimator(clone(RATE))).fit(X, Y)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array"])
def test_indices_beyond_a_sparse_matrix_are_refused(kind: str) -> None:
    """scipy follows them to somewhere in memory."""
    X = getattr(sparse, kind)(np.eye(4))
    X.indices[:] = 10**6
    with pytest.raises(ValueError, match="ind"):
        SoftHebb(2).fit(X)


def test_numbers_beyond_floats_are_named() -> None:
    with pytest.raises(ValueError, match=r"X must hold real numbers, at \[0, 1\]"):
        SoftHebb(1).fit(np.array([[1, 10**400]], dtype=object))


@pytest.mark.parametrize("n_samples", ["10", 10.0, True, 0])
def test_a_number_of_samples_is_one(n_samples: object) -> None:
    with pytest.raises((TypeError, ValueError), match="n_samples"):
        SoftHebb(1).fit(iter([np.ones((10, 2))]), n_samples=n_samples)

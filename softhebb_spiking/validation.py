"""Checks of what the user passes in: one message style, raised before any work starts.

Every message names the parameter, what is accepted, what came and, where there is one, the way out.
A wrong type raises `TypeError`, a wrong value `ValueError`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
MAX_KEY = 2**64 - 1  # seeds and keys of random numbers have 64 bits


def check_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as an int in [low, high].

    Raises
    ------
    TypeError
        If it is not an integer (a bool is not one).
    ValueError
        If it lies outside the range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")
    number = int(value)
    if number < low or (high is not None and number > high):
        accepted = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be an integer {accepted}, got {number}.")
    return number


def check_real(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
) -> float:
    """Return `value` as a finite float in [low, high], or in (low, high] with `low_open`.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not finite or lies outside the range.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be a real number, got {value!r} of type {type(value).__name__}."
        )
    number = float(value)
    inside = low < number <= high if low_open else low <= number <= high
    if not (math.isfinite(number) and inside):
        opening = "(" if low_open or low == -math.inf else "["
        closing = ")" if high == math.inf else "]"
        raise ValueError(
            f"{name} must be a finite number in {opening}{low:g}, {high:g}{closing}, got {number}."
        )
    return number


def check_choice(name: str, value: object, accepted: Sequence[str]) -> str:
    """Return `value` if it is one of the accepted strings, else raise `ValueError`."""
    if not isinstance(value, str) or value not in accepted:
        listed = ", ".join(repr(item) for item in accepted)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}.")
    return value


def as_matrix(name: str, values: Any) -> NDArray[Any]:
    """Return `values` as a non-empty, two-dimensional array of real numbers, copied only if needed.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If the array is empty, has another number of dimensions, or holds complex numbers.
    """
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} is a sparse matrix; pass a dense array, e.g. {name}.toarray().")
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold real numbers.")
    if array.dtype.kind == "O":
        array = _as_numbers(name, array)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, got an array of dtype {array.dtype}; "
            "convert it to float first."
        )
    if array.ndim != 2:
        raise ValueError(
            f"{name} must have two dimensions (n_rows, n_features), got shape {array.shape}. "
            "Reshape your data: X.reshape(1, -1) for one sample, X.reshape(len(X), -1) for images."
        )
    if array.size == 0:
        missing, needed = ("feature", "feature") if array.shape[0] else ("sample", "row")
        raise ValueError(
            f"{name} is empty: found 0 {missing}(s) (shape={array.shape}) while a minimum of 1 is "
            f"required: pass at least one {needed}."
        )
    return array


def _as_numbers(name: str, values: NDArray[Any]) -> FloatArray:
    """Return Python objects as floats, or say which one is no number."""
    try:
        return values.astype(np.float64)
    except (OverflowError, TypeError, ValueError):
        for place, value in np.ndenumerate(values):
            try:
                float(value)
            except (OverflowError, TypeError, ValueError) as error:
                where = ", ".join(map(str, place))
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"{name} must hold real numbers, at [{where}]: {error}.") from error
        raise


def as_float_matrix(name: str, values: Any) -> FloatArray:
    """Return `values` as a finite, non-empty, two-dimensional float64 array: always a copy.

    Raises
    ------
    TypeError
        If the values are not numbers.
    ValueError
        If the array is empty, has another number of dimensions, or holds NaN or infinity.
    """
    # In C order, whatever came: sums over rows then round alike for the same numbers.
    array = as_matrix(name, values).astype(np.float64, order="C")
    _check_finite(name, array, 0)
    return array


def check_n_features(found: int, expected: int) -> None:
    """Raise `ValueError` unless samples have the features that a network was built for."""
    if found != expected:
        raise ValueError(
            f"X has {found} features, but this network was built for {expected} features. Pass "
            f"samples of shape (n_samples, {expected})."
        )


def check_rows(rows: NDArray[Any], first_row: int = 0) -> NDArray[Any]:
    """Raise unless every row has a direction and can become firing rates; copies no array.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Real numbers of any type.
    first_row : int
        Number of the first row in the data that these rows are a part of, for the message.

    Returns
    -------
    ndarray of shape (n_rows,)
        The largest entry of each row.

    Raises
    ------
    ValueError
        If an entry is negative, NaN or infinite, or a row is all zero.
    """
    with np.errstate(invalid="ignore"):
        peak, low = rows.max(axis=1), rows.min()
        if low >= 0 and (peak > 0).all() and np.isfinite(peak).all():
            return np.asarray(peak)
    _check_finite("X", rows, first_row)
    negative = np.argwhere(rows < 0)
    if negative.size:
        row, column = negative[0]
        raise ValueError(
            f"Negative values in data: X must be non-negative (features become rates), got "
            f"{rows[row, column]} at row {first_row + row}, feature {column}. Shift the data, or "
            "split each feature into an on and an off channel."
        )
    row = first_row + int(np.flatnonzero(peak == 0)[0])
    raise ValueError(
        f"X has an all-zero row (row {row}): it has no direction and cannot be scaled to "
        "unit norm. Remove such rows."
    )


def unit_norm_samples(X: Any, n_features: int | None = None, *, first_row: int = 0) -> FloatArray:
    """Return non-negative samples scaled to unit L2 norm.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Non-negative samples.
    n_features : int, optional
        The number of features the network was built for.
    first_row : int
        Number of the first row in the data that `X` is a part of, for messages.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Rows of unit L2 norm.

    Raises
    ------
    TypeError, ValueError
        If `X` is not a finite, non-negative matrix with a positive entry in every row and the
        expected number of features.
    """
    matrix = as_matrix("X", X)
    if n_features is not None:
        check_n_features(matrix.shape[1], n_features)
    samples = matrix.astype(np.float64, order="C")
    peak = check_rows(samples, first_row)
    # Dividing by the peak first keeps the squares of tiny or huge entries inside the float range.
    # In place, because data sets are large and `samples` is a copy already.
    samples /= peak[:, np.newaxis]
    samples /= np.sqrt(np.einsum("ij,ij->i", samples, samples))[:, np.newaxis]
    return samples


def _check_finite(name: str, rows: NDArray[Any], first_row: int) -> None:
    finite = np.isfinite(rows)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name} must be finite, without NaN or inf, got {rows[row, column]} at row "
            f"{first_row + row}, feature {column}. Remove or impute such entries first."
        )


def as_generator(random_state: object) -> np.random.Generator:
    """Return a `numpy.random.Generator` from None, a seed, a Generator or a RandomState."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(0, 2**31)))
    if random_state is None:
        return np.random.default_rng()
    return np.random.default_rng(check_integer("random_state", random_state, 0, MAX_KEY))

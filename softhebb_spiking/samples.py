"""Where samples come from: an array, a memory map or a stream of batches, in chunks of one size.

Estimators learn and read in chunks, so that no copy of a whole data set in floating point is ever
made. Chunks begin at multiples of their size, counted from the first sample: they depend neither on
the kind of the source nor on how a stream was cut into batches, and so do results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from softhebb_spiking.validation import (
    IntArray,
    as_matrix,
    check_integer,
    check_n_features,
    check_rows,
)

CHUNK_SAMPLES = 1000


class Samples(Protocol):
    """Samples that can be gone through in chunks, once per epoch.

    Attributes
    ----------
    kind : {"array", "stream"}
        Whether all samples are at hand.
    n_samples : int or None
        How many they are; None if a stream need not say.
    shape : tuple
        What is known of (n_samples, n_features).
    dtype : str
        Type of the numbers in the chunks, as numpy writes it.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def n_samples(self) -> int | None: ...  # noqa: D102

    @property
    def shape(self) -> tuple[int | None, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> str: ...  # noqa: D102

    def raw_chunks(self, size: int) -> Iterator[NDArray[Any]]:
        """Yield all samples in arrays of `size` rows, the last one maybe shorter."""
        ...


class ArraySamples:
    """Samples in an array, a memory map or a sparse matrix, of any type of real numbers.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        The samples; not copied, but for sparse formats other than CSR.
    n_features : int, optional
        The number of features the network was built for.

    Raises
    ------
    TypeError, ValueError
        If `X` is not a non-negative matrix with a positive entry in every row; found in one pass
        over it, before anything is computed.
    """

    kind = "array"

    def __init__(self, X: Any, n_features: int | None = None) -> None:
        # Of a sparse matrix only a chunk at a time is ever made dense.
        self._values: Any = _as_csr(X) if issparse(X) else as_matrix("X", X)
        self.n_samples: int
        self.n_samples, found = self._values.shape
        if n_features is not None:
            check_n_features(found, n_features)
        self.shape = self._values.shape
        self.dtype = self._values.dtype.str
        for start in range(0, self.n_samples, CHUNK_SAMPLES):
            check_rows(self.rows(slice(start, start + CHUNK_SAMPLES)), start)

    def rows(self, chosen: slice | IntArray) -> NDArray[Any]:
        """Return some samples as a dense array: a view if `chosen` is a slice of dense ones."""
        found = self._values[chosen]
        return np.asarray(found.toarray() if issparse(found) else found)

    def raw_chunks(self, size: int) -> Iterator[NDArray[Any]]:
        """Yield arrays of `size` rows, the last one maybe shorter."""
        for start in range(0, self.n_samples, size):
            yield self.rows(slice(start, start + size))


class BatchStream:
    """Samples that come in batches of any size from an iterable.

    Parameters
    ----------
    batches : iterable of array_like of shape (batch_size, n_features)
        The batches.
    n_samples : int, optional
        How many samples will come, if that is known; another number is then an error.
    n_epochs : int
        How often they are asked for; more than once needs an iterable that can begin again.

    Raises
    ------
    ValueError
        If the iterable is a one-shot iterator, and several epochs are wanted.
    """

    kind = "stream"
    dtype = np.dtype(np.float64).str

    def __init__(
        self, batches: Iterable[Any], n_samples: int | None = None, n_epochs: int = 1
    ) -> None:
        if n_epochs > 1 and iter(batches) is batches:
            raise ValueError(
                f"X is an iterator, which gives its batches once, but n_epochs={n_epochs}. Pass "
                "something that can begin again: a list of batches, an object with __iter__, or a "
                "memory map; or set n_epochs=1."
            )
        self._batches = batches
        self.n_samples = n_samples
        self.shape: tuple[int | None, ...] = (n_samples, None)

    def raw_chunks(self, size: int) -> Iterator[NDArray[Any]]:
        """Yield new float64 arrays of `size` rows, the last one maybe shorter.

        Raises
        ------
        TypeError, ValueError
            If a batch is no matrix of numbers or has other features than the first, or the number
            of samples is not the one that was announced.
        """
        chunk, filled, seen = np.empty((0, 0)), 0, 0
        for number, batch in enumerate(self._batches):
            rows = _batch_matrix(batch, number, chunk.shape[1] if seen else None)
            if not seen:
                chunk = np.empty((size, rows.shape[1]))
            self._check_surplus(seen + len(rows))
            taken = 0
            while taken < len(rows):
                part = rows[taken : taken + size - filled]
                chunk[filled : filled + len(part)] = part
                taken += len(part)
                filled += len(part)
                if filled == size:
                    yield chunk
                    chunk, filled = np.empty_like(chunk), 0
            seen += len(rows)
        self._check_end(seen)
        if filled:
            yield chunk[:filled]

    def _check_surplus(self, seen: int) -> None:
        if self.n_samples is not None and seen > self.n_samples:
            raise ValueError(
                f"X gave more samples than n_samples={self.n_samples}: at least {seen} came. The "
                "learning rates fall over n_samples; pass the true number, or cut the stream."
            )

    def _check_end(self, seen: int) -> None:
        if seen == 0:
            raise ValueError(
                "X is empty: it gave no batch. A generator that was used up has to be made anew."
            )
        if self.n_samples is not None and seen < self.n_samples:
            raise ValueError(
                f"X ended after {seen} samples, but n_samples={self.n_samples}. The learning rates "
                "fall over n_samples; pass the true number."
            )


def as_samples(
    X: Any, *, n_features: int | None = None, n_samples: int | None = None, n_epochs: int = 1
) -> ArraySamples | BatchStream:
    """Return the samples in `X` as something that can be gone through in chunks.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features), or iterable of such arrays
        A list or tuple is a stream if its first item has two dimensions.
    n_features : int, optional
        The number of features the network was built for.
    n_samples : int, optional
        How many samples a stream will give, or an array has.
    n_epochs : int
        How often they will be gone through.

    Returns
    -------
    ArraySamples or BatchStream

    Raises
    ------
    TypeError, ValueError
        If an array is not accepted, or a stream cannot be gone through that often.
    """
    if n_samples is not None:
        check_integer("n_samples", n_samples, 1)
    if is_stream(X):
        return BatchStream(X, n_samples, n_epochs)
    samples = ArraySamples(X, n_features)
    if n_samples not in (None, samples.n_samples):
        raise ValueError(
            f"X has {samples.n_samples} samples, but n_samples={n_samples}; leave n_samples out "
            "for an array."
        )
    return samples


def is_stream(X: Any) -> bool:
    """Return whether `X` gives batches one after the other, and is no array by itself."""
    if isinstance(X, list | tuple):
        return len(X) > 0 and getattr(X[0], "ndim", 0) == 2
    array_like = any(hasattr(X, name) for name in ("__array__", "toarray"))
    return isinstance(X, Iterable) and not array_like and not isinstance(X, str | bytes)


def _as_csr(X: Any) -> Any:
    """Return a sparse matrix in rows; its numbers are checked as those of a dense one are."""
    if hasattr(X, "check_format"):
        X.check_format()  # indices beyond the matrix would be followed
    rows = X.tocsr()
    as_matrix("X", np.empty(rows.shape, rows.dtype) if 0 in rows.shape else rows[:1].toarray())
    return rows


def _batch_matrix(batch: Any, number: int, n_features: int | None) -> NDArray[Any]:
    """Return a batch as a matrix, or say which one is none."""
    try:
        rows = as_matrix("X", batch.toarray() if issparse(batch) else batch)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"batch {number} of X is no array of shape (n_samples, n_features): {error} A stream "
            "yields samples alone, without labels."
        ) from error
    if n_features not in (None, rows.shape[1]):
        raise ValueError(
            f"batch {number} of X has {rows.shape[1]} features, those before it have {n_features}."
        )
    return rows

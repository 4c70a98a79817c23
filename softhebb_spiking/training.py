"""Going through samples chunk by chunk while an estimator learns: one loop for both estimators.

It knows epochs, learning rates, checkpoints and progress; what a chunk does to the
estimator is the estimator's matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._checkpoint_keeper import CheckpointKeeper
from softhebb_spiking.checkpoint import Position
from softhebb_spiking.samples import ArraySamples, Samples
from softhebb_spiking.validation import FloatArray, check_n_features, unit_norm_samples


@dataclass(frozen=True)
class Progress:
    """How far learning has come; handed to the callback after each chunk of about 1000 samples.

    Attributes
    ----------
    samples_done : int
        Samples learned from, over all epochs, those before a resumed checkpoint included.
    n_total : int or None
        Samples of all epochs; None where a stream does not say.
    images_per_s : float
        Samples per second since this call began.
    spikes_per_image : float or None
        Output spikes per sample in this chunk, while samples were read; None for the rate rung.
    seconds_left : float or None
        At that pace.
    """

    samples_done: int
    n_total: int | None
    images_per_s: float
    spikes_per_image: float | None
    seconds_left: float | None


Callback = Callable[[Progress], object]


class Learner(Protocol):
    """What the loop asks of an estimator."""

    n_features_in_: int
    weights_: FloatArray

    def _chunk_samples(self) -> int:
        """Return the samples of a chunk."""

    def _begin(self, samples: ArraySamples, log_prior: Any) -> None:
        """Set the state to start from, by what is to be learned from."""

    def _learning_key(self) -> int:
        """Draw the key of the random numbers of one call."""

    def _learn(self, samples: FloatArray, rate_factors: FloatArray, key: int) -> int | None:
        """Learn from a chunk of unit-norm samples; return output spikes."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How often samples are shown, and at which learning rates.

    Parameters
    ----------
    n_epochs : int
        Passes over the samples.
    n_samples : int or None
        Samples of each pass, if it is known.
    falling : bool
        Whether learning rates fall linearly to zero over all passes; `n_samples` is needed then.
    """

    n_epochs: int = 1
    n_samples: int | None
    falling: bool

    @property
    def n_total(self) -> int | None:
        """Samples of all passes, None if not known."""
        return None if self.n_samples is None else self.n_epochs * self.n_samples

    def rate_factors(self, first: int, count: int) -> FloatArray:
        """Return what the learning rates are scaled by, for `count` samples from number `first`."""
        if not self.falling or self.n_total is None:
            return np.ones(count)
        return 1.0 - np.arange(first, first + count) / self.n_total


def learn_in_chunks(
    learner: Learner,
    samples: Samples,
    schedule: Schedule,
    *,
    initial_log_prior: Any = None,
    callback: Callback | None = None,
    keeper: CheckpointKeeper | None = None,
) -> None:
    """Let an estimator learn from samples.

    Parameters
    ----------
    learner : Learner
        The estimator; if it has weights, it goes on from them.
    samples : Samples
        What it learns from.
    schedule : Schedule
        How often, and at which learning rates.
    initial_log_prior : array_like of shape (n_units,), optional
        To start from; without it, uniform.
    callback : callable, optional
        Called with a `Progress` after each chunk.
    keeper : CheckpointKeeper, optional
        Writes checkpoints, and says where to go on from.
    """
    found = None if keeper is None else keeper.found
    at = Position(0, 0) if found is None else found.position
    key = None if found is None else found.key
    n_before = at.epoch * (schedule.n_samples or 0) + at.sample
    meter = _Meter(n_before, schedule.n_total)
    if not hasattr(learner, "weights_") and isinstance(samples, ArraySamples):
        learner._begin(samples, initial_log_prior)
    for epoch in range(at.epoch, schedule.n_epochs):
        skip = at.sample if epoch == at.epoch else 0
        for start, raw in _chunks(learner, samples, skip, keeper):
            if not hasattr(learner, "weights_"):  # of a stream, only the beginning is known
                learner._begin(ArraySamples(raw), initial_log_prior)
            if key is None:
                key = learner._learning_key()
            chunk = unit_norm_samples(raw, learner.n_features_in_, first_row=start)
            first = epoch * (schedule.n_samples or 0) + start
            factors = schedule.rate_factors(first, len(chunk))
            n_spikes = learner._learn(chunk, factors, key)
            if keeper is not None:
                position = Position(epoch, start + len(chunk))
                last = first + len(chunk) == schedule.n_total
                keeper.after_chunk(position, key, len(chunk), last=last)
            if callback is not None:
                callback(meter.after(len(chunk), n_spikes))


def _chunks(
    learner: Learner, samples: Samples, skip: int, keeper: CheckpointKeeper | None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the chunks of one pass after the first `skip` samples, each with its first number."""
    if keeper is not None:
        keeper.begin_epoch()
    start = 0
    for raw in samples.raw_chunks(learner._chunk_samples()):
        if keeper is not None:
            keeper.see(raw)
        if start >= skip:
            yield start, raw
        else:
            check_n_features(raw.shape[1], learner.n_features_in_)
            if start + len(raw) == skip and keeper is not None:
                keeper.check_seen()
        start += len(raw)


class _Meter:
    """Turns numbers of samples and spikes into progress."""

    def __init__(self, n_before: int, n_total: int | None) -> None:
        self._n_before, self._n_total = n_before, n_total
        self._n_new, self._started_at = 0, time.monotonic()

    def after(self, n_new: int, n_spikes: int | None) -> Progress:
        """Return the progress after a chunk of `n_new` samples."""
        self._n_new += n_new
        # A clock may stand still for one chunk of a tiny network.
        pace = self._n_new / max(time.monotonic() - self._started_at, 1e-9)
        done = self._n_before + self._n_new
        return Progress(
            samples_done=done,
            n_total=self._n_total,
            images_per_s=pace,
            spikes_per_image=None if n_spikes is None else n_spikes / n_new,
            seconds_left=None if self._n_total is None else (self._n_total - done) / pace,
        )

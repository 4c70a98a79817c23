"""One seed of an experiment: its data in its order, and its networks, each trained once.

Trained layers are kept in a folder, so that experiments share them and a run that was interrupted
finds them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from softhebb_spiking.data import Dataset, load_dataset
from softhebb_spiking.evaluation import LinearReadout, UnitLabelClassifier
from softhebb_spiking.experiments.backprop import train_perceptron
from softhebb_spiking.experiments.differentiable import LinearHead, NamedUnits, Perceptron
from softhebb_spiking.experiments.settings import HARD_TEMPERATURE, Settings
from softhebb_spiking.initialization import initial_weights
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.samples import ArraySamples
from softhebb_spiking.serialization import load_model, write_whole
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, IntArray

RUNGS = ("rate", "event", "fixed", "brian2", "lava")
HARD, BACKPROP = "hard", "backprop"  # what rungs are compared with
RUNG_PARAMS: Mapping[str, dict[str, Any]] = {
    "event": {"backend": "event"},
    "fixed": {"backend": "event", "arithmetic": "fixed"},
    "brian2": {"backend": "brian2"},
    "lava": {"backend": "lava"},
}


@dataclass(frozen=True)
class Trial:
    """What an experiment is given.

    Attributes
    ----------
    dataset : str
        Data set.
    settings : Settings
        Sizes and parameters.
    rungs : tuple of str
        Rungs of the ladder that are tried.
    seed : int
        Of everything random.
    layers : Path
        Folder of trained layers.
    data_root : str or None
        Folder with IDX files.
    """

    dataset: str
    settings: Settings
    rungs: tuple[str, ...]
    seed: int
    layers: Path
    data_root: str | None = None

    @cached_property
    def data(self) -> Dataset:
        """The data set, training and test samples in orders of this seed's."""
        whole = _load(self.dataset, self.data_root)
        order = self.generator("order of samples").permutation(len(whole.X_train))
        order = order[: self.settings.n_train]
        chosen = self.generator("test samples").permutation(len(whole.X_test))
        chosen = chosen[: self.settings.n_test]
        return Dataset(
            name=whole.name,
            X_train=as_pixels(whole.X_train)[order],
            y_train=class_numbers(whole.y_train)[order],
            X_test=as_pixels(whole.X_test)[chosen],
            y_test=class_numbers(whole.y_test)[chosen],
            image_shape=whole.image_shape,
        )

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a generator of random numbers for one purpose, independent of all others."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def estimator(self, rung: str, n_units: int | None = None, **changes: Any) -> Any:
        """Return an untrained estimator.

        Parameters
        ----------
        rung : str
            One of `RUNGS`, or "hard": the rate rung in the limit in which the winner takes all.
        n_units : int, optional
            Units, if not those of the settings.
        **changes
            Parameters that are to be others.
        """
        s = self.settings
        params: dict[str, Any] = {
            "n_units": s.n_units if n_units is None else n_units,
            "temperature": s.temperature,
            "learning_rate": s.learning_rate,
            "random_state": self.seed,
        }
        if rung in ("rate", HARD):
            temperature = {"temperature": HARD_TEMPERATURE} if rung == HARD else {}
            return SoftHebb(**params | temperature | changes)
        return SpikingSoftHebb(**params | RUNG_PARAMS[rung] | dict(s.spiking) | changes)

    def layer(self, rung: str, n_samples: int | None = None, **changes: Any) -> Any:
        """Return a layer that has learned without labels, from the disk if it is there.

        Parameters
        ----------
        rung : str
            As for `estimator`.
        n_samples : int, optional
            Samples that it has seen: the first ones, or whole passes over all; one pass if not
            given.
        **changes
            As for `estimator`.
        """
        model = self.estimator(rung, **changes)
        X = self.data.X_train
        shown = len(X) if n_samples is None else n_samples
        if shown > len(X):
            model.set_params(n_epochs=shown // len(X))
        path = self._layer_file(rung, model.get_params() | {"samples": shown})
        with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: it is damaged
            return load_model(path)
        start = self.first_weights(model.n_units, shown, model.init)
        model.fit(X[:shown], initial_weights=start)
        model.save(path)
        return model

    def first_weights(
        self, n_units: int | None = None, n_samples: int | None = None, init: str = "data"
    ) -> FloatArray:
        """Return what layers of this seed start from, whatever their rung.

        Parameters
        ----------
        n_units : int, optional
            Units, if not those of the settings.
        n_samples : int, optional
            Samples that may be looked at; by default all.
        init : {"data", "random"}
            As of `SoftHebb`.
        """
        samples = ArraySamples(self.data.X_train[:n_samples])
        n_units = self.settings.n_units if n_units is None else n_units
        return initial_weights(init, samples, n_units, self.generator("first weights"))

    def named(self, layer: Any, n_samples: int | None = None) -> UnitLabelClassifier:
        """Return the layer with its units named by training samples.

        Parameters
        ----------
        layer : SoftHebb or SpikingSoftHebb
            A trained layer.
        n_samples : int, optional
            How many labelled samples name them: the first ones; by default all.
        """
        part = slice(None, n_samples)
        return UnitLabelClassifier(layer).fit(self.data.X_train[part], self.data.y_train[part])

    def read_linearly(
        self, layer: Any, n_samples: int | None = None, **options: Any
    ) -> LinearReadout:
        """Return the layer with a linear readout.

        Parameters
        ----------
        layer, n_samples
            As for `named`.
        **options
            Of `LinearReadout`.
        """
        part = slice(None, n_samples)
        readout = LinearReadout(layer, **options)
        return readout.fit(self.data.X_train[part], self.data.y_train[part])

    def perceptron(
        self,
        n_samples: int | None = None,
        n_units: int | None = None,
        learning_rates: tuple[float, ...] | None = None,
        n_passes: tuple[int, ...] = (1,),
    ) -> Perceptron:
        """Return a network trained by back-propagation, end to end.

        Parameters
        ----------
        n_samples : int, optional
            Samples that it has seen, as for `layer`.
        n_units : int, optional
            Hidden units, if not those of the settings.
        learning_rates : tuple of float, optional
            What may be chosen on held-out samples, if not those of the settings.
        n_passes : tuple of int
            Passes over the samples, likewise.
        """
        s, data = self.settings, self.data
        options: dict[str, Any] = {
            "n_samples": len(data.X_train) if n_samples is None else n_samples,
            "n_validation": s.n_validation,
            "n_units": s.n_units if n_units is None else n_units,
            "learning_rates": learning_rates or s.backprop_rates,
            "seed": self.seed,
        }
        if n_passes != (1,):
            options["n_passes"] = n_passes
        path = self._layer_file(BACKPROP, options)
        with contextlib.suppress(FileNotFoundError, SafetensorError):
            return Perceptron(**load_file(path))
        network = train_perceptron(data.X_train, data.y_train, **options)
        write_whole(path, save({k: np.ascontiguousarray(v) for k, v in vars(network).items()}))
        return network

    def _layer_file(self, kind: str, params: Mapping[str, Any]) -> Path:
        """Return a file whose name is another for other data, another seed or parameters."""
        digest = hashlib.sha256(self._data_digest)
        facts = [self.dataset, self.seed, params]
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
        self.layers.mkdir(parents=True, exist_ok=True)
        return self.layers / f"{kind}-{digest.hexdigest()[:16]}.safetensors"

    @cached_property
    def _data_digest(self) -> bytes:
        digest = hashlib.sha256(np.ascontiguousarray(self.data.X_train).tobytes())
        digest.update(self.data.y_train.tobytes())
        return digest.digest()


def named_units(classifier: UnitLabelClassifier, temperature: float | None = None) -> NamedUnits:
    """Return named units as a function of pixels; of a spiking layer its rate posterior.

    Parameters
    ----------
    classifier : UnitLabelClassifier
        A layer with named units.
    temperature : float, optional
        If not the layer's own: a winner that takes all has no gradient, and a soft one's can
        stand in.
    """
    layer = classifier.estimator_
    return NamedUnits(
        layer.weights_,
        layer.log_prior_,
        layer.temperature if temperature is None else temperature,
        classifier.class_given_unit_,
    )


def linear_head(readout: LinearReadout) -> LinearHead:
    """Return a linear readout as a function of pixels."""
    layer, head = readout.estimator_, readout.readout_
    return LinearHead(
        layer.weights_, layer.log_prior_, readout.temperature, head.coef_, head.intercept_
    )


def accuracy(predicted: NDArray[Any], labels: IntArray) -> float:
    """Return the share of samples read right."""
    return float((predicted == labels).mean())


def as_pixels(X: NDArray[Any]) -> FloatArray:
    """Return bytes as numbers from 0 to 1; other pixels are that already."""
    return X / 255.0 if X.dtype == np.uint8 else np.asarray(X, dtype=np.float64)


def class_numbers(labels: NDArray[Any]) -> IntArray:
    """Return labels as they are, if they are 0, 1, 2, ..., as all data sets here have them.

    Raises
    ------
    ValueError
        If they are not.
    """
    classes = np.unique(labels)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(f"labels must be 0, 1, 2, ... without a gap, got {classes.tolist()}.")
    return np.asarray(labels, dtype=np.int64)


@lru_cache(maxsize=1)
def _load(name: str, root: str | None) -> Dataset:
    return load_dataset(name, root=root)

"""What the page shows: a network, the shape of its images, and names for its units."""

from __future__ import annotations

import base64
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking.data import Dataset
from softhebb_spiking.evaluation import UnitLabelClassifier
from softhebb_spiking.show.presentation import (
    SMOOTHING_MS,
    as_message,
    grey_images,
    present,
)
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.validation import FloatArray, check_integer

MAX_DRAW = 2**31 - 1
_MNIST_SIDE = 28
_MAX_SIDE = 200  # a drawing of that size is below what the server reads


class DrawingError(ValueError):
    """What came is not a drawing that the network can see."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A network ready to be shown, and what the page needs to know of it.

    Attributes
    ----------
    name : str
        What the page calls the model.
    network : SpikingSoftHebb
        Runs on the event rung.
    image_shape : tuple of int
        (height, width).
    reader : UnitLabelClassifier or None
        Names units.
    samples : ndarray of shape (n_samples, n_features)
        Images to click, bytes.
    sample_labels : list of int
        Their classes.
    """

    name: str
    network: SpikingSoftHebb
    image_shape: tuple[int, int]
    reader: UnitLabelClassifier | None
    samples: NDArray[np.uint8]
    sample_labels: list[int]

    def facts(self) -> dict[str, Any]:
        """Return what the page asks for once, ready for JSON; images are base64 bytes."""
        params = self.network.network_params()
        found: dict[str, Any] = {
            "name": self.name,
            "image_shape": list(self.image_shape),
            "centre": self.image_shape == (_MNIST_SIDE, _MNIST_SIDE),
            "n_units": params.n_units,
            "population_size": params.population_size,
            "temperature": params.temperature,
            "inhibition": params.inhibition,
            "arithmetic": self.network.arithmetic,
            "settle_steps": params.settle_steps,
            "n_steps": params.n_steps,
            "dt_ms": params.dt_ms,
            "smoothing_ms": SMOOTHING_MS,
            "fields": base64.b64encode(grey_images(self.network.weights_)).decode("ascii"),
            "samples": base64.b64encode(self.samples.tobytes()).decode("ascii"),
            "sample_labels": self.sample_labels,
            "classes": None,
        }
        if self.reader is not None:
            classes = self.reader.classes_
            found["classes"] = [str(name) for name in classes]
            best = self.reader.class_given_unit_.argmax(axis=1)
            found["unit_classes"] = [str(name) for name in classes[best]]
        return found

    def answer(self, drawing: FloatArray, draw: int = 0) -> dict[str, Any]:
        """Return what the network does when it sees a drawing, ready for JSON.

        Parameters
        ----------
        drawing : ndarray of shape (n_features,)
            From `drawing_from`.
        draw : int
            Number of the stream of random numbers.

        Returns
        -------
        dict
            See `as_message`; ``{"empty": True}`` for a drawing without ink.
        """
        if not drawing.any():
            return {"empty": True}
        started = time.perf_counter()
        shown = present(self.network, drawing, draw=draw)
        found = as_message(shown, None if self.reader is None else self.reader.class_given_unit_)
        found["server_ms"] = round(1e3 * (time.perf_counter() - started), 3)
        return found


def prepare(
    model: Any,
    *,
    name: str,
    n_steps: int,
    seed: int,
    image_shape: tuple[int, int] | None = None,
    inhibition: str | None = None,
    data: Dataset | None = None,
) -> Stage:
    """Return a stage on which everything is compiled and units are named.

    Parameters
    ----------
    model : SoftHebb or SpikingSoftHebb
        Fitted.
    name : str
        What the page calls it.
    n_steps : int
        Steps of a presentation that are read.
    seed : int
        Key of all spikes.
    image_shape : tuple of int, optional
        (height, width); that of the data set, else a square, if not given.
    inhibition : {"feedback", "graded", "exact"}, optional
        In place of the model's.
    data : Dataset, optional
        Its training labels name units, its test images are the samples.

    Raises
    ------
    TypeError, ValueError
        If something does not fit the model.
    """
    n_features = model.n_features_in_
    if data is not None and data.X_train.shape[1] != n_features:
        raise ValueError(
            f"labels of {data.name!r}: its images have {data.X_train.shape[1]} features, the "
            f"model {n_features}; name the data set that the model was trained on."
        )
    shape = image_shape or (None if data is None else data.image_shape)
    shape = check_image_shape(n_features, shape)
    network = network_to_show(model, n_steps=n_steps, seed=seed, inhibition=inhibition)
    reader = None
    samples: NDArray[np.uint8] = np.empty((0, n_features), np.uint8)
    labels: list[int] = []
    if data is not None:
        reader = UnitLabelClassifier(network).fit(data.X_train, data.y_train)
        samples, labels = one_of_each_class(data)
    stage = Stage(
        name=name,
        network=network,
        image_shape=shape,
        reader=reader,
        samples=samples,
        sample_labels=labels,
    )
    stage.answer(np.ones(n_features))  # compiles what is not yet
    return stage


def network_to_show(
    model: Any, *, n_steps: int, seed: int, inhibition: str | None = None
) -> SpikingSoftHebb:
    """Return a model as a spiking network on the event rung, whatever rung it was trained on.

    A rate model gives weights, log prior and temperature; what else a spiking network needs has
    the default values of `SpikingSoftHebb`.
    """
    params: dict[str, Any] = {"n_units": model.n_units, "temperature": model.temperature}
    if isinstance(model, SpikingSoftHebb):
        params = model.get_params()
    params |= {
        "backend": "event",
        "backend_options": None,
        "n_steps": n_steps,
        "random_state": seed,
    }
    if inhibition is not None:
        params["inhibition"] = inhibition
    return SpikingSoftHebb.from_weights(model.weights_, model.log_prior_, **params)


def check_image_shape(n_features: int, given: tuple[int, int] | None) -> tuple[int, int]:
    """Return (height, width) of a model's images: what was given, or a square.

    Raises
    ------
    ValueError
        If they do not have as many pixels as the model features.
    """
    if given is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"the model has {n_features} features, which are no square image; name its "
                "height and width with --shape H,W. Features that are no image cannot be drawn."
            )
        given = (side, side)
    height, width = given
    if height * width != n_features:
        raise ValueError(
            f"shape {height},{width} has {height * width} pixels, the model {n_features} "
            "features; name the height and width of its images."
        )
    if max(given) > _MAX_SIDE or min(given) < 2:
        raise ValueError(
            f"shape {height},{width}: drawings have sides of 2 to {_MAX_SIDE} pixels; such "
            "features cannot be drawn. If they are an image of another shape, give --shape H,W."
        )
    return given


def one_of_each_class(data: Dataset) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the first test image of each class, as bytes of full contrast, and the classes."""
    classes, first = np.unique(data.y_test, return_index=True)
    images = data.X_test[first].astype(np.float64)
    bright = images / images.max(axis=1, keepdims=True)
    return np.rint(255.0 * bright).astype(np.uint8), classes.tolist()


def drawing_from(message: Any, n_features: int) -> tuple[FloatArray, int]:
    """Return the drawing and the number of its random stream that a page has sent.

    Parameters
    ----------
    message : object
        From JSON; ``{"pixels": [...], "draw": 0}``.
    n_features : int
        Pixels that the network sees.

    Raises
    ------
    DrawingError
        If it is anything else.
    """
    if not isinstance(message, dict) or "pixels" not in message:
        raise DrawingError('a drawing is an object {"pixels": [...], "draw": 0}.')
    pixels = message["pixels"]
    is_list = isinstance(pixels, list) and all(type(one) in (int, float) for one in pixels)
    if not is_list or len(pixels) != n_features:
        raise DrawingError(f"pixels must be a list of {n_features} numbers, row by row.")
    try:
        drawing = np.array(pixels, dtype=np.float64)
        draw = check_integer("draw", message.get("draw", 0), 0, MAX_DRAW)
    except (OverflowError, TypeError, ValueError) as error:
        raise DrawingError(str(error)) from error
    if not np.isfinite(drawing).all() or drawing.min() < 0.0 or drawing.max() > 255.0:
        raise DrawingError("pixels must be numbers from 0 to 255, without NaN or infinity.")
    return drawing, draw

"""What of this package is timed: the event rung, Lava, and the rate rung."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from softhebb_spiking._timing import seconds
from softhebb_spiking.peers.limits import gather_us
from softhebb_spiking.peers.workload import (
    N_STEPS,
    Workload,
    fitting_images,
    input_rate,
    paced,
    timed,
)
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.training import Progress
from softhebb_spiking.validation import FloatArray

Row = dict[str, Any]
_IMAGES_PER_RUN = {100: 4000, 400: 3000, 1600: 1000, 6400: 800, math.inf: 100}
_LAVA_IMAGES, _LAVA_RUNS = 10, 3


def n_images(n_units: int, *, quick: bool) -> int:
    """Return how many images make a run of about half a second."""
    n = fitting_images(_IMAGES_PER_RUN, n_units)
    return min(n, 60) if quick else n


def event(work: Workload, *, arithmetic: str = "float", n_threads: int = 1) -> Row:
    """Time the event rung as its users call it."""
    model = work.model(arithmetic=arithmetic, backend_options={"n_threads": n_threads})
    X, told = work.images(), list[Progress]()
    model.partial_fit(X, callback=told.append)
    found = timed(lambda: model.partial_fit(X) if work.learn else model.predict_proba(X), len(X))
    spikes = np.average([p.spikes_per_image or 0.0 for p in told])
    # The limit as it is now and here: a machine's speed drifts within a minute.
    limit = gather_us(work.n_units, "float32" if arithmetic == "float" else "int8")
    return found | {
        "peer": f"event, {arithmetic}",
        **asdict(work),
        "threads": n_threads,
        "input_rate": input_rate(model, X[:50]),
        "output_rate": float(spikes) / N_STEPS,
        "gather_us": limit,
    }


def lava(work: Workload) -> Row:
    """Time Lava's Processes, floating point, without what two runs share, such as starting up."""
    model = work.model()
    model.set_params(backend="lava", backend_options={"timeout_s": 600.0})
    X, paces = work.images(), []
    show = model.partial_fit if work.learn else model.predict_proba
    for _ in range(_LAVA_RUNS):
        short, long = (seconds(partial(show, X[:n])) for n in (1, 1 + _LAVA_IMAGES))
        paces.append(_LAVA_IMAGES / (long - short))
    rates = {"input_rate": input_rate(model, X[:50]), "output_rate": None}
    return paced(paces) | {"peer": "Lava, float", **asdict(work), **rates}


def rate(work: Workload, batch_size: int) -> Row:
    """Time the rate rung in numpy: no spikes, one update per batch."""
    X = work.images()
    model = SoftHebb(work.n_units, batch_size=batch_size, random_state=work.seed).fit(X)
    if work.learn:
        found = timed(lambda: model.partial_fit(X), len(X))
    else:

        def predict() -> None:
            for start in range(0, len(X), batch_size):
                model.predict_proba(X[start : start + batch_size])

        found = timed(predict, len(X))
    return found | {"peer": f"rate, numpy, batch {batch_size}", **asdict(work)}


def threads(n_units_learning: int, n_units_frozen: int, *, quick: bool) -> list[Row]:
    """Compare one thread with two, times and bits."""
    rows = []
    for n_units, learn in ((n_units_frozen, False), (n_units_learning, True)):
        work = Workload(n_units=n_units, learn=learn, n_images=n_images(n_units, quick=quick))
        (one, bits), (two, same_bits) = (_with_threads(work, n_threads) for n_threads in (1, 2))
        rows.append(
            {
                "n_units": n_units,
                "learn": learn,
                "images_per_s": [one, two],
                "speedup": two / one,
                "same_bits": bool(np.array_equal(bits, same_bits)),
            }
        )
    return rows


def _with_threads(work: Workload, n_threads: int) -> tuple[float, FloatArray]:
    """Return images per second, and weights or posteriors."""
    model, X = work.model(backend_options={"n_threads": n_threads}), work.images()

    def once() -> FloatArray:
        return np.copy(model.partial_fit(X).weights_) if work.learn else model.predict_proba(X)

    found = once()
    return float(timed(once, len(X))["images_per_s"]), found


def growth(*, quick: bool) -> list[Row]:
    """Measure how cost grows with K, steps and active inputs, and fit exponents.

    A presentation costs something whatever its size is, so exponents of small networks are below 1.
    """
    base = Workload(n_units=400, n_images=30 if quick else 300)
    units = (100, 400) if quick else (100, 200, 400, 800, 1600, 3200, 6400, 12_800)
    n_steps = (25, 50) if quick else (25, 50, 100, 200, 400)
    active = (70, 141) if quick else (50, 100, 200, 400, 784)
    rows = []
    for what, sizes in (("n_units", units), ("n_steps", n_steps), ("active inputs", active)):
        costs = [_cost_us(base, what, size) for size in sizes]
        exponent = float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
        rows.append({"what": what, "sizes": list(sizes), "us": costs, "exponent": exponent})
    return rows


def _cost_us(base: Workload, what: str, size: int) -> float:
    """Return microseconds per image."""
    work, params = base, dict[str, Any]()
    if what == "n_units":
        work = replace(base, n_units=size, n_images=max(100, base.n_images * 400 // (400 + size)))
    if what == "n_steps":
        params = {"n_steps": size}
    X = work.images()
    if what == "active inputs":  # so many of 784 pixels are on, all alike
        rng = np.random.default_rng(work.seed)
        X = np.zeros_like(X)
        for image in X:
            image[rng.choice(image.size, size, replace=False)] = 200
        params = {"max_probability": 0.15}
    model = work.model(**params)
    if what == "active inputs":
        model.fit(X[:50])
    return 1e6 / float(timed(lambda: model.partial_fit(X), len(X))["images_per_s"])


_FIRST_CALL = """
import time, numpy as np
from softhebb_spiking import SpikingSoftHebb
model, X = SpikingSoftHebb(10, random_state=0), np.ones((10, 20))
started = time.perf_counter()
model.fit(X).predict_proba(X)
print(time.perf_counter() - started)
"""


def compiling() -> Row:
    """Time the first call of a first process, and that of a second: compiled code is kept."""
    elapsed = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            found = subprocess.run(
                [sys.executable, "-c", _FIRST_CALL],
                env=os.environ | {"NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                timeout=300,
                check=True,
            )
            elapsed.append(float(found.stdout))
    return {"first_s": elapsed[0], "later_s": elapsed[1]}

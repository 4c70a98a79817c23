"""Measure the LIF circuit: posterior, temperature, learning on digits, and MNIST.

    python benchmarks/lif_circuit.py drives temperature digits mnist --json circuit.json

Each part prints a table. Times are those of Lava's CPU models.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from softhebb_spiking import SoftHebb, UnitLabelClassifier, load_dataset
from softhebb_spiking.backends import brian2_circuit, lava_circuit
from softhebb_spiking.calibration import calibrate, measure_temperature
from softhebb_spiking.circuit import (
    circuit_for_samples,
    common_drive,
    fit_temperature,
    mean_spike_trace,
    tangent_decay,
)
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams
from softhebb_spiking.initialization import initial_weights
from softhebb_spiking.params import FixedPointParams
from softhebb_spiking.samples import ArraySamples
from softhebb_spiking.validation import FloatArray, unit_norm_samples

RUNGS = {
    "float": (lava_circuit.simulate, None),
    "fixed": (lava_circuit.simulate, FixedPointParams()),
    "brian2": (brian2_circuit.simulate, None),
}


def drives(seed: int) -> list[dict[str, Any]]:
    """K = 10, M = 50, 30 random drives: distance of the posterior from softmax."""
    rows = []
    for temperature in (0.02, 0.05, 0.2):
        generator = np.random.default_rng([seed, 4])
        shown = generator.uniform(0.0, 1.0, size=(30, 10))
        for name, (simulate, fixed) in RUNGS.items():
            gain = 1.0 / temperature
            circuit = LifCircuitParams(
                n_features=10,
                n_units=10,
                gain=gain,
                common_drive=common_drive(shown, temperature),
                n_steps=2000,
            )
            run = CircuitRun(
                circuit=circuit, weights=np.eye(10), drives=shown, fixed=fixed, seed=seed
            )
            started = time.perf_counter()
            result = simulate(run)
            seconds = time.perf_counter() - started
            fitted = measure_temperature(circuit, simulate, fixed, seed=seed + 1)
            ideal = softmax(shown / fitted.value, axis=1)
            distances = 0.5 * np.abs(result.posterior - ideal).sum(axis=1)
            rows.append(
                {
                    "asked": temperature,
                    "rung": name,
                    "calibrated": fitted.value,
                    "error": fitted.standard_error,
                    "fit_here": fit_temperature(shown, result.spike_counts).value,
                    "tv_mean": distances.mean(),
                    "tv_max": distances.max(),
                    "spikes_per_step": result.spike_counts.sum() / (30 * circuit.n_steps),
                    "ms_per_step": 1e3 * seconds / (30 * circuit.presentation_steps),
                }
            )
    return rows


def temperature(seed: int) -> list[dict[str, Any]]:
    """Asked-for against measured temperature, with other drives than those of the calibration."""
    rows = []
    for name, (simulate, fixed) in RUNGS.items():
        circuit = LifCircuitParams(n_features=10, n_units=10)
        calibration = calibrate(circuit, simulate=simulate, fixed=fixed, seed=seed)
        for asked in (0.02, 0.035, 0.06, 0.11, 0.2):
            chosen = replace(calibration.circuit_for(asked), n_steps=2000)
            found = measure_temperature(chosen, simulate, fixed, seed=seed + 1)
            rows.append(
                {
                    "rung": name,
                    "asked": asked,
                    "gain": chosen.gain,
                    "measured": found.value,
                    "error": found.standard_error,
                    "off_percent": 100.0 * (found.value / asked - 1.0),
                }
            )
    return rows


def digits(seed: int) -> list[dict[str, Any]]:
    """K = 20 on digits: each form of the rule against the rate rule from the same start."""
    data, n_units, tau = load_dataset("digits"), 20, 0.02
    samples = unit_norm_samples(data.X_train)
    start = initial_weights(
        "data", ArraySamples(data.X_train), n_units, np.random.default_rng(seed)
    )
    rate = SoftHebb(n_units=n_units, temperature=tau, random_state=seed)
    rate.fit(data.X_train, initial_weights=start)

    def row(name: str, weights: FloatArray, seconds: float) -> dict[str, Any]:
        norms = np.linalg.norm(weights, axis=1)
        unit = weights / norms[:, np.newaxis]
        cosines = unit @ rate.weights_.T / np.linalg.norm(rate.weights_, axis=1)
        cosine = cosines[linear_sum_assignment(-cosines)]
        read = SoftHebb.from_weights(weights, temperature=tau)
        named = UnitLabelClassifier(read).fit(data.X_train, data.y_train)
        return {
            "form": name,
            "seed": seed,
            "cosine": cosine.mean(),
            "least_cosine": cosine.min(),
            "accuracy": named.score(data.X_test, data.y_test),
            "least_norm": norms.min(),
            "largest_norm": norms.max(),
            "minutes": seconds / 60.0,
        }

    rows = [row("rate", rate.weights_, 0.0)]
    falling = 1.0 - np.arange(len(samples)) / len(samples)
    common: dict[str, Any] = {"gain": 1.0 / tau, "max_probability": 0.64}
    whole = {"samples": samples, "weights": start, "seed": seed}
    for fixed in (None, FixedPointParams(), FixedPointParams(rounding="shared")):
        circuit = circuit_for_samples(start, samples, **common)
        run = CircuitRun(
            circuit=circuit,
            learning="three_factor",
            learning_rates=0.15 * falling,
            fixed=fixed,
            **whole,
        )
        started = time.perf_counter()
        learned = lava_circuit.simulate(run).weights
        name = "three_factor" if fixed is None else f"three_factor, {fixed.rounding} integers"
        rows.append(row(name, learned, time.perf_counter() - started))

    # A lone neuron cannot fire more than once a step: inhibition must hold most samples below that.
    single = circuit_for_samples(
        start,
        samples,
        population_size=1,
        total_rate=0.15,
        common_drive=common_drive(samples @ start.T, tau, quantile=0.6),
        **common,
    )
    for name in ("two_factor, constant", "two_factor, tangent"):
        decay = two_factor_decay(single, start, samples, tangent=name.endswith("tangent"))
        run = CircuitRun(
            circuit=single,
            learning="two_factor",
            learning_rates=0.08 * falling,
            decay=decay,
            **whole,
        )
        started = time.perf_counter()
        rows.append(row(name, lava_circuit.simulate(run).weights, time.perf_counter() - started))
    return rows


def two_factor_decay(
    circuit: LifCircuitParams, weights: FloatArray, samples: FloatArray, *, tangent: bool
) -> Any:
    """Return the decay of the rule, from the first spikes of the circuit."""
    shown = samples[:100]
    result = lava_circuit.simulate(CircuitRun(circuit=circuit, weights=weights, samples=shown))
    counts = result.spike_counts
    mean_drive = float((counts * (shown @ weights.T)).sum() / counts.sum())
    mean_trace = mean_spike_trace(result.step_counts, circuit, 20.0)
    decay = tangent_decay(circuit, mean_drive, mean_trace)
    return decay if tangent else replace(decay, constant=mean_drive, per_spike=0.0)


def mnist(seed: int, n_samples: int = 1000) -> list[dict[str, Any]]:
    """K = 100 on MNIST: weights learned by the rate rule, read by the circuit and by softmax."""
    data, tau = load_dataset("mnist"), 0.02
    rate = SoftHebb(n_units=100, temperature=tau, random_state=seed).fit(data.X_train)
    named = UnitLabelClassifier(rate).fit(data.X_train, data.y_train)
    shown, labels = unit_norm_samples(data.X_test[:n_samples]), data.y_test[:n_samples]
    train = data.X_train[:5000]
    rows = [{"rung": "softmax", "accuracy": named.score(data.X_test[:n_samples], labels)}]
    ideal = rate.predict_proba(data.X_test[:n_samples])
    for name, (simulate, fixed) in RUNGS.items():
        circuit = circuit_for_samples(
            rate.weights_, train, gain=0.96 / tau, population_size=20, largest_input=0.25
        )
        run = CircuitRun(
            circuit=circuit, weights=rate.weights_, samples=shown, fixed=fixed, seed=seed
        )
        started = time.perf_counter()
        posterior = simulate(run).posterior
        seconds = time.perf_counter() - started
        found = named.classes_[(posterior @ named.class_given_unit_).argmax(axis=1)]
        rows.append(
            {
                "rung": name,
                "accuracy": float((found == labels).mean()),
                "tv_to_softmax": float(0.5 * np.abs(posterior - ideal).sum(axis=1).mean()),
                "silent": float((np.ptp(posterior, axis=1) == 0).mean()),
                "ms_per_sample": 1e3 * seconds / n_samples,
            }
        )
    return rows


PARTS = {"drives": drives, "temperature": temperature, "digits": digits, "mnist": mnist}


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table of aligned columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names]
    for row in rows:
        values = [row.get(name, "") for name in names]
        cells.append([f"{v:.4g}" if isinstance(v, float) else str(v) for v in values])
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the tables here too")
    given = parser.parse_args()
    found = {}
    for name in given.parts:
        found[name] = PARTS[name](given.seed)
        print(f"\n{name}: {PARTS[name].__doc__}\n{table(found[name])}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2, default=float))


if __name__ == "__main__":
    main()

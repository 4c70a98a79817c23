"""Export a layer as NIR, run the file in Norse, and compare the posterior with ours.

    python benchmarks/second_simulator.py --norse-python ~/norse/bin/python

trains K = 100 on MNIST, and shows test images to the LIF circuit of Lava Processes and to Norse, as
the same input and background spikes. The other Python needs `pip install torch norse nirtorch nir`.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from softhebb_spiking import SoftHebb, UnitLabelClassifier, load_dataset
from softhebb_spiking.backends import lava_circuit
from softhebb_spiking.circuit import background_spikes, circuit_for_samples, input_spikes
from softhebb_spiking.circuit_params import CircuitRun
from softhebb_spiking.deployment.exchange import export_model
from softhebb_spiking.validation import FloatArray, unit_norm_samples

_RUN_IN = 80  # steps in which the background fills the neurons


def posterior_of_norse(run: CircuitRun, model: SoftHebb, python: Path) -> FloatArray:
    """Return normalised spike counts of the exported file."""
    circuit, shown = run.circuit, input_spikes(run)
    spikes = np.zeros((_RUN_IN + len(shown), circuit.n_features + circuit.n_background), np.uint8)
    spikes[_RUN_IN:, : circuit.n_features] = shown
    # Norse hears the background, a second branch of the graph, a step later than the features.
    spikes[:, circuit.n_features :] = background_spikes(run, len(spikes) + 1)[1:]
    with tempfile.TemporaryDirectory() as folder:
        graph, given, counts = (Path(folder, name) for name in ("c.nir", "s.npz", "c.npy"))
        export_model(model, graph, "nir", circuit, seed=run.seed)
        np.savez(given, spikes=spikes, dt_s=1e-3 * circuit.dt_ms)
        script = Path(__file__).with_name("norse_reads_nir.py")
        subprocess.run([python, script, graph, given, counts], check=True, timeout=3600)
        found = np.load(counts)[_RUN_IN:]
    by_sample = found.reshape(run.n_samples, circuit.presentation_steps, circuit.n_units)
    total = by_sample[:, circuit.settle_steps :].sum(axis=1)
    return np.asarray(total / np.maximum(total.sum(axis=1, keepdims=True), 1.0))


def main(
    norse_python: Annotated[Path, typer.Option(help="Python that has Norse")],
    samples: Annotated[int, typer.Option(help="test images")] = 200,
    n_steps: Annotated[int, typer.Option(help="steps for which an image is read")] = 50,
    population_size: Annotated[int, typer.Option(help="LIF neurons a unit")] = 20,
    feedback: Annotated[float, typer.Option(help="of inhibition; as export has it")] = 0.006,
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
) -> None:
    """Print total variation and accuracies."""
    data, tau = load_dataset("mnist"), 0.02
    model = SoftHebb(n_units=100, temperature=tau, random_state=seed).fit(data.X_train)
    named = UnitLabelClassifier(model).fit(data.X_train, data.y_train)
    shown, labels = unit_norm_samples(data.X_test[:samples]), data.y_test[:samples]
    circuit = circuit_for_samples(
        model.weights_,
        data.X_train[:5000],
        gain=1 / tau,
        population_size=population_size,
        largest_input=0.25,
        n_steps=n_steps,
        feedback=feedback,
    )
    run = CircuitRun(
        circuit=circuit,
        weights=model.weights_,
        log_prior=model.log_prior_,
        samples=shown,
        seed=seed,
    )
    ours = lava_circuit.simulate(run).posterior
    theirs = posterior_of_norse(run, model, norse_python)
    distances = 0.5 * np.abs(ours - theirs).sum(axis=1)
    again = lava_circuit.simulate(CircuitRun(**(vars(run) | {"seed": seed + 1}))).posterior
    noise = 0.5 * np.abs(ours - again).sum(axis=1).mean()
    typer.echo(
        f"{samples} images of {n_steps} steps, M = {population_size}, feedback {feedback:g}: total "
        f"variation, Lava to Norse {distances.mean():.4f} in the mean, "
        f"{np.quantile(distances, 0.95):.4f} at 95 %; Lava to itself with other spikes {noise:.4f}"
    )
    for name, posterior in (("Lava", ours), ("Norse", theirs)):
        found = named.classes_[(posterior @ named.class_given_unit_).argmax(axis=1)]
        typer.echo(f"accuracy {name}: {100 * (found == labels).mean():.1f} %")


if __name__ == "__main__":
    typer.run(main)

"""Models to NIR and npz and back; benchmarks/second_simulator.py measures another simulator."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softhebb_spiking import SoftHebb, SpikingSoftHebb, load_model
from softhebb_spiking.circuit import background_spikes, circuit_for_samples, input_spikes
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams
from softhebb_spiking.deployment.exchange import export_model, import_model
from softhebb_spiking.deployment.nir_circuit import circuit_graph

nir = pytest.importorskip("nir")

SAMPLES = np.random.default_rng(0).random((4, 6))


def make_model(kind: str = "SpikingSoftHebb") -> Any:
    rng = np.random.default_rng(1)
    weights, prior = rng.random((3, 6)), np.log([0.5, 0.3, 0.2])
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    if kind == "SoftHebb":
        model: Any = SoftHebb.from_weights(weights, prior, temperature=0.07, random_state=3)
    else:
        options = {"learning_epoch": 1}
        model = SpikingSoftHebb.from_weights(
            weights, prior, temperature=0.07, fixed_options=options, random_state=3
        )
    model.n_samples_seen_ = 17
    model.weight_scales_ = np.array([1.0, 0.5, 0.25])
    return model


def make_circuit(model: Any) -> LifCircuitParams:
    return circuit_for_samples(model.weights_, SAMPLES, gain=14.0, population_size=5)


@pytest.mark.parametrize("kind", ["SoftHebb", "SpikingSoftHebb"])
@pytest.mark.parametrize("form", ["nir", "npz"])
def test_there_and_back_is_exact(kind: str, form: str, tmp_path: Path) -> None:
    model, path = make_model(kind), tmp_path / "exported"
    circuit = make_circuit(model)
    export_model(model, path, form, circuit)
    found, circuit_found = import_model(path)
    assert type(found) is type(model)
    np.testing.assert_array_equal(found.weights_, model.weights_)
    np.testing.assert_array_equal(found.log_prior_, model.log_prior_)
    assert found.get_params() == model.get_params()
    assert found.n_samples_seen_ == 17
    np.testing.assert_array_equal(found.weight_scales_, model.weight_scales_)
    assert circuit_found == (circuit if form == "nir" else None)
    assert list(tmp_path.iterdir()) == [path]


def run_graph(graph: Any, inputs: Any, dt_s: float) -> Any:
    """Run a NIR graph by Euler steps, from nothing but its nodes, edges and equations."""
    nodes = graph.nodes
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for pre, post in graph.edges:
        sources[post].append(pre)
    silent = {n: 0.0 * node.v_leak for n, node in nodes.items() if hasattr(node, "tau_syn")}
    out: dict[str, Any] = dict(silent)
    state = {name: (zero, zero) for name, zero in silent.items()}
    counts = []
    for spikes in inputs:
        before = dict(out)
        out["input"] = spikes
        # A neuron hears what neurons sent in the last step, and what inputs send in this one.
        for name, (current, voltage) in state.items():
            node = nodes[name]
            arriving = sum(
                resolve(nodes, sources, pre, before | {"input": spikes}) for pre in sources[name]
            )
            current = current + dt_s / node.tau_syn * (-current + node.w_in * arriving)
            leak = node.v_leak - voltage + node.r * current
            voltage = voltage + dt_s / node.tau_mem * leak
            out[name] = (voltage > node.v_threshold).astype(float)
            state[name] = current, np.where(out[name] > 0, node.v_reset, voltage)
        counts.append(resolve(nodes, sources, "populations", out))
    return np.array(counts)


def resolve(nodes: Any, sources: Any, name: str, out: Any) -> Any:
    """The value of a node, through chains of Linear nodes."""
    if type(nodes[name]).__name__ != "Linear":
        return out[name]
    (pre,) = sources[name]
    return nodes[name].weight @ np.asarray(resolve(nodes, sources, pre, out))


@pytest.mark.lava
def test_the_graph_alone_fires_as_the_circuit_does() -> None:
    """Given the same input and background spikes, from the graph's own equations."""
    from softhebb_spiking.backends import lava_circuit

    model = make_model()
    circuit = make_circuit(model)
    samples = SAMPLES / np.linalg.norm(SAMPLES, axis=1, keepdims=True)
    run = CircuitRun(
        circuit=circuit,
        weights=model.weights_,
        log_prior=model.log_prior_,
        samples=samples,
        seed=5,
    )
    ours = lava_circuit.simulate(run)
    shown = input_spikes(run)
    run_in = 80  # as in the circuit of Lava Processes
    inputs = np.zeros((run_in + len(shown) + 2, 6 + circuit.n_background))
    inputs[run_in : run_in + len(shown), :6] = shown
    inputs[:, 6:] = background_spikes(run, len(inputs))
    counts = run_graph(circuit_graph(model, circuit, seed=5), inputs, 1e-3 * circuit.dt_ms)
    # Lava's synapses are a step late, so feedback is later there too; what a population does in
    # all is the same to a few spikes.
    total = counts[run_in : run_in + len(shown)].reshape(4, -1, 3)[:, circuit.settle_steps :].sum(1)
    posterior = total / total.sum(axis=1, keepdims=True)
    assert total.sum() > 500
    assert 0.5 * np.abs(posterior - ours.posterior).sum(axis=1).mean() < 0.05
    assert total.sum() == pytest.approx(ours.spike_counts.sum(), rel=0.1)


def test_units_are_seconds_and_metadata_says_the_rule(tmp_path: Path) -> None:
    model = make_model()
    circuit = make_circuit(model)
    export_model(model, tmp_path / "a.nir", "nir", circuit)
    graph = nir.read(tmp_path / "a.nir")
    excitatory = graph.nodes["excitatory"]
    # The Euler step of 1 ms multiplies a current by 1 − dt/τ, which is to be e^(−dt/10 ms).
    np.testing.assert_allclose(1.0 - 1e-3 / excitatory.tau_syn, np.exp(-0.1))
    assert graph.metadata["temperature"] == 0.07
    assert "softmax" in str(graph.metadata["rule"])
    assert ("inhibition", "excitatory") in [tuple(edge) for edge in graph.edges]


def foreign_file(path: Path) -> None:
    lif = nir.LIF(*(np.ones(2) for _ in range(4)))
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2])}),
        "strange": lif,
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    nir.write(path, nir.NIRGraph(nodes, [("input", "strange"), ("strange", "output")]))


def test_a_foreign_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.nir"
    foreign_file(path)
    with pytest.raises(ValueError, match=r"Unknown nodes: strange \(LIF\); missing: weights"):
        import_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a NIR file"),
        (b"\x89HDF\r\n\x1a\n" + b"0" * 40, "not a NIR graph that can be read"),
        (b"PK\x03\x04 broken", "cannot be read as an exported model"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        import_model(path)


def test_an_archive_of_others_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weights=np.ones(3))
    with pytest.raises(ValueError, match="its format is None, expected 'softhebb"):
        import_model(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", weights=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="its format is None"):
        import_model(tmp_path / "b.npz")
    with pytest.raises(FileNotFoundError, match="softhebb-spiking export"):
        import_model(tmp_path / "none.npz")


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(OSError, match="choose a folder"):
        export_model(model, tmp_path / "no" / "a.nir", "nir", make_circuit(model))
    with pytest.raises(ValueError, match="'nir', 'npz'"):
        export_model(model, tmp_path / "a.onnx", "onnx")
    with pytest.raises(ValueError, match="needs a circuit"):
        export_model(model, tmp_path / "a.nir", "nir")
    assert list(tmp_path.iterdir()) == []


def test_without_nir_the_install_line_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    model = make_model()
    with pytest.raises(ImportError, match=r"softhebb-spiking\[exchange\]"):
        export_model(model, tmp_path / "a.nir", "nir", make_circuit(model))
    assert list(tmp_path.iterdir()) == []


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    line = "from softhebb_spiking.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", line, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_commands(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "model.safetensors")
    for name in ("a.nir", "a.npz"):
        done = command(
            "export",
            tmp_path / "model.safetensors",
            "--format",
            name[2:],
            "--output",
            tmp_path / name,
        )
        assert done.returncode == 0, done.stderr
        done = command("import", tmp_path / name, "--output", tmp_path / "back.safetensors")
        assert done.returncode == 0, done.stderr
        back = load_model(tmp_path / "back.safetensors")
        np.testing.assert_array_equal(back.weights_, model.weights_)
    done = command("quantise", tmp_path / "model.safetensors", "--json")
    assert '"clipped_weights": 0' in done.stdout, done.stderr
    done = command("quantise", tmp_path / "model.safetensors")
    assert "rule: dw =" in done.stdout
    done = command("plan", tmp_path / "model.safetensors", "--chip", "loihi2", "--json")
    assert '"fits": true' in done.stdout, done.stderr
    done = command("plan", tmp_path / "model.safetensors", "--chip", "loihi1", "--form", "programs")
    assert done.returncode == 1
    assert "DOES NOT FIT" in done.stdout
    done = command("programs", tmp_path / "model.safetensors")
    assert "## SoftWTA" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "{model}", "--chip", "loihi3"], "'loihi1', 'loihi2'"),
        (["plan", "{model}", "--chip", "loihi2", "--dataset", "digits"], "has 64 features"),
        (["plan", "{folder}/none", "--chip", "loihi2"], "no model file"),
        (["export", "{model}", "--format", "onnx", "--output", "{folder}/x"], "'nir', 'npz'"),
        (["import", "{foreign}", "--output", "{folder}/x"], "Unknown nodes: strange (LIF)"),
        (
            ["plan", "{model}", "--chip", "loihi2", "--picture", "{folder}/x.doc"],
            "pictures are .png",
        ),
        (
            ["export", "{model}", "--format", "npz", "--seed", "-4", "--output", "{folder}/x"],
            "seed",
        ),
        (
            ["export", "{model}", "--format", "npz", "--gain", "3", "--output", "{folder}/x"],
            "are for format 'nir'",
        ),
        (["calibrate", "--temperature", "5"], "temperature must be a finite number in"),
        (["calibrate", "--temperature", "0.05", "--units", "1"], "units must be an integer >= 2"),
    ],
)
def test_commands_say_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    make_model().save(tmp_path / "model")
    foreign_file(tmp_path / "foreign")
    places = {"model": tmp_path / "model", "foreign": tmp_path / "foreign", "folder": tmp_path}
    before = sorted(tmp_path.iterdir())
    done = command(*(argument.format(**places) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    model, path = make_model(), tmp_path / "a.nir"
    export_model(model, path, "nir", make_circuit(model))
    graph = nir.read(path)
    graph.nodes["fan_out"].weight[:] = 0.0
    nir.write(path, graph)
    with pytest.raises(ValueError, match="was changed since it was exported, in fan_out"):
        import_model(path)


def test_changed_weights_are_imported(tmp_path: Path) -> None:
    """What others did to the weights is what one imports a file for."""
    model, path = make_model(), tmp_path / "a.nir"
    export_model(model, path, "nir", make_circuit(model))
    graph = nir.read(path)
    graph.nodes["weights"].weight[:, :6] *= 0.5
    nir.write(path, graph)
    np.testing.assert_array_equal(import_model(path)[0].weights_, 0.5 * model.weights_)


@pytest.mark.parametrize("form", ["nir", "npz"])
def test_damaged_files_are_one_error(form: str, tmp_path: Path) -> None:
    """Bytes changed at random: the model comes back as it was, or a ValueError names the file."""
    model, path = make_model(), tmp_path / "exported"
    export_model(model, path, form, make_circuit(model))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            found, _ = import_model(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert found.weights_.shape == (3, 6)
    assert len(refused) > 20
    assert all(str(path) in message for message in refused)


def test_a_file_cannot_make_us_take_more_than_it_holds(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.nir", "w") as file:
        file.create_dataset("node/nodes/weights/weight", (10**6, 10**7), "f8", chunks=(10, 10))
    with pytest.raises(ValueError, match="more than it can hold"):
        import_model(tmp_path / "a.nir")
    claims = "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    header = np.lib.format.magic(1, 0) + len(claims).to_bytes(2, "little") + claims.encode()
    form = io.BytesIO()
    np.lib.format.write_array(form, np.array("softhebb-spiking exchange 1"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("format.npy", form.getvalue())
        archive.writestr("weights.npy", header)
    with pytest.raises(ValueError, match="of the size that it states"):
        import_model(tmp_path / "a.npz")


def test_a_graph_too_large_is_refused(tmp_path: Path) -> None:
    weights = np.full((6400, 4), 0.5)
    model = SpikingSoftHebb.from_weights(weights, random_state=0)
    circuit = LifCircuitParams(n_features=4, n_units=6400, population_size=32)
    with pytest.raises(ValueError, match=r"21\.\d GB .* population_size=2 fits"):
        export_model(model, tmp_path / "a.nir", "nir", circuit)
    assert list(tmp_path.iterdir()) == []

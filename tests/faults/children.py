"""What the campaign runs in processes of their own: ``python children.py NAME ARGUMENTS``."""

# ruff: noqa: T201

import gc
import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np


def command(*arguments: str) -> None:
    """Run the command line; leave a file when its modules have been imported."""
    from softhebb_spiking.cli import main

    sys.argv = ["softhebb-spiking", *arguments]
    Path(os.environ["FAULT_BEGUN"]).touch()
    main()


# --- Lava ----------------------------------------------------------------------------------------

N_SAMPLES, N_STEPS = 20, 10
MODELS = (  # those of a network whose synapses learn
    "RateEncoder",
    "LearningDense",
    "SoftWTA",
    "LateralInhibition",
    "SpikeCounter",
    "SynapseManager",
)


def _network() -> Any:
    from softhebb_spiking.networks import SoftHebbNetwork
    from softhebb_spiking.params import NetworkParams, Run

    rng = np.random.default_rng(0)
    weights = rng.random((3, 8))
    samples = rng.random((N_SAMPLES, 8))
    run = Run(
        network=NetworkParams(n_features=8, n_units=3, n_steps=N_STEPS, settle_steps=5),
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.full(3, -np.log(3.0)),
        learning_rates=np.full(N_SAMPLES, 0.1),
        prior_learning_rates=np.full(N_SAMPLES, 0.01),
    )
    return SoftHebbNetwork(run)


def _shown(timeout_s: float = 100.0) -> list[int]:
    """Return the counts of a network that is undisturbed."""
    with _network() as network:
        network.present(timeout_s=timeout_s)
        return np.asarray(network.counter.counts.get()).ravel().tolist()


def _open_files(at_most: float = np.inf, grace_s: float = 5.0) -> int:
    """Return how many there are; wait a little if that is too many, for threads that just end."""
    deadline = time.monotonic() + grace_s
    while True:
        gc.collect()  # multiprocessing closes its pipes when they are forgotten
        found = len(os.listdir("/proc/self/fd"))
        if found <= at_most or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _plant(kind: str, model: str, step: int) -> Any:
    """Make models of one class fail; return what undoes it. Lava's processes are forked from us."""
    from lava.magma.core.model.py.model import AbstractPyProcessModel, PyLoihiProcessModel

    begin, spike = AbstractPyProcessModel.__init__, PyLoihiProcessModel._spike

    def failing_init(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        if kind == "init" and model in type(self).__name__:
            raise ZeroDivisionError("planted")

    def failing_spike(self: Any) -> None:
        if model in type(self).__name__ and self.time_step == step:
            if kind == "step":
                raise ZeroDivisionError("planted")
            if kind == "block":
                time.sleep(1e6)
        spike(self)

    AbstractPyProcessModel.__init__, PyLoihiProcessModel._spike = failing_init, failing_spike

    def undo() -> None:
        AbstractPyProcessModel.__init__, PyLoihiProcessModel._spike = begin, spike

    return undo


def _kill_a_model(
    rng: np.random.Generator, moment_s: float, network: Any, times: dict[str, float]
) -> None:
    """Kill one of the network's models, from another thread, once there are any; note when."""

    def actors() -> list[Any]:
        runtime = getattr(network.encoder, "runtime", None)
        infrastructure = getattr(runtime, "_messaging_infrastructure", None)
        return [actor for actor in getattr(infrastructure, "actors", ()) if actor.pid]

    def kill() -> None:
        time.sleep(moment_s)
        try:
            while not (living := actors()):
                time.sleep(0.005)
        except ValueError:  # all of them have ended in order
            return
        times["killed"] = time.monotonic()
        os.kill(living[int(rng.integers(len(living)))].pid, 9)

    threading.Thread(target=kill, daemon=True).start()


def lava(kind: str, seed: str, duration_s: str) -> None:
    """Show a network, disturb the next one, show a third; print what is to be compared."""
    rng = np.random.default_rng(int(seed))
    expected = _shown()
    files = _open_files()
    model, step = MODELS[int(rng.integers(len(MODELS)))], int(rng.integers(1, N_SAMPLES * 15))
    undo = _plant(kind, model, step)
    error, started = "", time.monotonic()
    times: dict[str, float] = {}
    try:
        with _network() as network:
            if kind == "kill":
                _kill_a_model(rng, rng.uniform(0.0, float(duration_s)), network, times)
            network.present(timeout_s=5.0 if kind == "block" else 100.0)
            times["presented"] = time.monotonic()
    except (RuntimeError, TimeoutError) as caught:
        error = f"{type(caught).__name__}: {caught}"
    elapsed_s, left = time.monotonic() - started, len(multiprocessing.active_children())
    undo()
    # A model that is killed when all has been shown does no harm; it may have done its last step.
    before_its_end = times.get("killed", np.inf) < times.get("presented", 0.0) - 0.5
    found = {
        "error": error,
        "too_late": kind == "kill" and "presented" in times and not before_its_end,
        "elapsed_s": elapsed_s,
        "children": left,
        "files": [files, _open_files(files)],
        "again": _shown() == expected,
        "where": f"{model}, step {step}",
    }
    print(json.dumps(found))


def lava_undisturbed() -> None:
    """Print how long showing a network takes."""
    _shown()
    started = time.monotonic()
    _shown()
    print(time.monotonic() - started)


def lava_program(kind: str) -> None:
    """Show a network that learns in this process, or train with Lava; print what was found."""
    _digits()
    if kind == "network":
        _network()  # imports Lava
    Path(os.environ["FAULT_BEGUN"]).touch()
    started = time.monotonic()
    found = _shown() if kind == "network" else _trained().tolist()
    print(f"{time.monotonic() - started}\n{found}")


def _trained() -> Any:
    lava = {"backend": "lava", "n_units": 3, "n_epochs": 1, "n_steps": 5, "settle_steps": 3}
    return _model(**lava).fit(_digits()[:10]).weights_


# --- training in this process --------------------------------------------------------------------


def _model(**changes: Any) -> Any:
    from softhebb_spiking import SpikingSoftHebb

    return SpikingSoftHebb(**({"n_units": 10, "n_epochs": 4, "random_state": 0} | changes))


def _digits() -> Any:
    from softhebb_spiking import load_dataset

    return load_dataset("digits").X_train


def fork(seed: str) -> None:
    """Train with two threads, fork, and train in the child; print whether the bits are the same."""
    rng = np.random.default_rng(int(seed))
    # Small networks stay on one thread; 2048 units are shared by two.
    X = rng.integers(1, 255, (60, 16)).astype(np.uint8)
    threads = {"n_units": 2048, "n_epochs": 1, "n_steps": 10, "backend_options": {"n_threads": 2}}
    before = _model(**threads).fit(X).weights_
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        weights = _model(**threads).fit(X).weights_
        os.write(writer, b"same" if weights.tobytes() == before.tobytes() else b"other")
        os._exit(0)
    os.close(writer)
    print(os.read(reader, 10).decode())
    os.waitpid(pid, 0)


class PlantedError(Exception):
    """Raised by a callback."""


def callback(seed: str, folder: str) -> None:
    """Let a callback fail in a chunk; compare what there was, and go on from the checkpoint."""
    from softhebb_spiking import Checkpoint
    from softhebb_spiking.checkpoint import read_checkpoint

    rng, X = np.random.default_rng(int(seed)), _digits()
    path = Path(folder, "ckpt")
    expected = _model().fit(X).weights_
    model, planted = _model(random_state=1).fit(X[:100]), PlantedError("planted")
    before = {name: np.copy(value) for name, value in vars(model).items() if name.endswith("_")}
    model.set_params(random_state=0)
    left = [int(rng.integers(1, 9))]

    def fail(progress: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise planted

    reached = None
    try:
        model.fit(X, checkpoint=Checkpoint(path, every_samples=1), callback=fail)
    except PlantedError as error:
        reached = error
    assert reached is planted, "the exception did not reach its user"
    after = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert set(after) == set(before), (set(before), set(after))
    assert all(np.array_equal(after[name], before[name]) for name in before), "the model changed"
    read_checkpoint(path)
    model.fit(X, checkpoint=Checkpoint(path, every_samples=1, resume=True))
    assert model.weights_.tobytes() == expected.tobytes(), "other bits"
    print("same")


def save(kind: str, path: str) -> None:
    """Write a model, a recording or a report; user errors are one line, as in the command line."""
    from softhebb_spiking import cli

    try:
        _WRITERS[kind](Path(path))
    except OSError as error:
        cli._fail(str(error))


def _fitted_model() -> Any:
    return _model(n_units=40, n_epochs=1).fit(_digits()[:100])


def _save_model(path: Path) -> None:
    _fitted_model().save(path)


def _recording() -> Any:
    from softhebb_spiking.backends import event
    from softhebb_spiking.params import NetworkParams, Run
    from softhebb_spiking.recording import Recording

    rng = np.random.default_rng(0)
    samples = rng.random((60, 64))
    run = Run(
        network=NetworkParams(n_features=64, n_units=8),
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=np.full((8, 64), 0.125),
        log_prior=np.full(8, -np.log(8.0)),
        learning_rates=np.full(60, 0.1),
        prior_learning_rates=np.full(60, 0.01),
    )
    return Recording.from_result(run, event.simulate(run), "event")


def _save_recording(path: Path) -> None:
    _recording().save(path)


def _save_report(path: Path) -> None:
    from softhebb_spiking._pages import check_writable, write_together

    names = ("index.html", "report.json")
    check_writable(path.parent, names)
    write_together({path: "x" * 40_000, path.with_suffix(".json"): "{}" + " " * 40_000})


def save_for_ever(kind: str, path: str) -> None:
    """Write the same file again and again, until this is killed."""
    if kind == "model":
        again = _fitted_model().save
    elif kind == "recording":
        again = _recording().save
    else:
        again = _save_report
    Path(os.environ["FAULT_BEGUN"]).touch()
    while True:
        again(Path(path))


_WRITERS = {"model": _save_model, "recording": _save_recording, "report": _save_report}
_CHILDREN = (
    command,
    lava,
    lava_undisturbed,
    lava_program,
    fork,
    callback,
    save,
    save_for_ever,
)

if __name__ == "__main__":
    name, *given = sys.argv[1:]
    {child.__name__: child for child in _CHILDREN}[name](*given)

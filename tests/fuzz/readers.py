"""The readers of untrusted files: a valid file of each in parts, and what must hold of objects."""

from __future__ import annotations

import functools
import json
import os
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz import parts as p

from softhebb_spiking import SpikingSoftHebb

MOST_CPU_S = 2.0
OURS = (ValueError, TypeError, OSError)


class Failure(AssertionError):
    """A reader did what it must not."""


@dataclass(frozen=True)
class Reader:
    """A reader, files for it, and what must hold of what it returns."""

    name: str
    file: str
    seed: Callable[[], p.Parts]
    build: Callable[[p.Parts], bytes]
    read: Callable[[Path], Any]
    check: Callable[[Any], None]

    def outcome(self, parts: p.Parts, folder: Path) -> str:
        """Return "valid" or "refused"; raise `Failure` for anything else."""
        for name, content in self._files(parts).items():
            (folder / name).write_bytes(content)
        path, before = folder / self.file, sorted(os.listdir(folder))
        started = time.process_time()
        try:
            found = self.read(path)
        except OURS as error:
            if type(error) not in (*OURS, FileNotFoundError) and not isinstance(error, OSError):
                self._check_kind(error)
            self._check_message(error, folder)
            result = "refused"
        except BaseException as error:
            raise Failure(f"{type(error).__name__}: {error}"[:300]) from error
        else:
            self.check(found)
            result = "valid"
        if time.process_time() - started > MOST_CPU_S:
            raise Failure(f"took {time.process_time() - started:.1f} s")
        if sorted(os.listdir(folder)) != before:
            raise Failure("wrote a file")
        return result

    def _files(self, parts: p.Parts) -> dict[str, bytes]:
        if self.name.startswith("idx"):
            pack = p.as_gzip if self.name == "idx.gz" else bytes
            suffix = ".gz" if self.name == "idx.gz" else ""
            return {f"{name}{suffix}": pack(parts.get(name, b"")) for name in IDX}
        return {self.file: self.build(parts)}

    def _check_kind(self, error: BaseException) -> None:
        from softhebb_spiking.show.stage import DrawingError

        if not isinstance(error, DrawingError | UnicodeError):
            raise Failure(f"an error of another kind: {type(error).__name__}: {error}"[:300])

    def _check_message(self, error: BaseException, folder: Path) -> None:
        if self.name != "drawing" and str(folder) not in str(error):
            raise Failure(f"{type(error).__name__} without the file's name: {error}"[:300])


@functools.cache
def _model() -> Any:
    rng = np.random.default_rng(1)
    model = SpikingSoftHebb.from_weights(
        rng.random((3, 6)), np.log([0.5, 0.3, 0.2]), random_state=3, n_steps=4, settle_steps=2
    )
    model.n_samples_seen_, model.weight_scales_ = 17, np.array([1.0, 0.5, 0.25])
    return model


def _saved(save: Callable[[Path], Any], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def _recording() -> Any:
    return _model().record(np.random.default_rng(2).random((2, 6)), probes=("inhibition",))


@functools.cache
def _whole_hdf5(suffix: str) -> bytes:
    """Return a valid file."""
    if suffix == "nir":
        from softhebb_spiking.circuit import circuit_for_samples
        from softhebb_spiking.deployment.exchange import export_model

        shown = np.full((1, 6), 6**-0.5)
        circuit = circuit_for_samples(
            _model().weights_, shown, gain=14.0, population_size=2, n_background=8,
            background_fan_in=4,
        )  # fmt: skip
        return _saved(lambda path: export_model(_model(), path, "nir", circuit), "a.nir")
    from softhebb_spiking.neuro import save_neo

    block = _recording().to_neo(labels=["a", "b"])
    return _saved(lambda path: save_neo(block, path), f"a.{suffix}")


def _hdf5_seed() -> p.Parts:
    return {"json:changes": b"[]", "json:flips": b"[]"}


def check_model(model: Any) -> None:
    """Check that an estimator can be used as it is."""
    model._check_parameters()
    shape = (model.n_units, model.n_features_in_)
    if model.weights_.shape != shape or not np.isfinite(model.weights_).all():
        raise Failure(f"weights {model.weights_}")
    if model.log_prior_.shape != shape[:1] or not np.isfinite(model.log_prior_).all():
        raise Failure(f"log_prior {model.log_prior_}")
    scales = getattr(model, "weight_scales_", np.ones(shape[0]))
    if scales.shape != shape[:1] or (scales == 0).any() or model.n_samples_seen_ < 0:
        raise Failure(f"weight_scales {scales}")


def _check_checkpoint(record: Any) -> None:
    if not np.isfinite(record.state["weights_"]).all() or min(record.position) < 0:
        raise Failure(f"{record}")


def _check_recording(found: Any) -> None:
    net = found.params
    if found.weights.shape != (net.n_units, net.n_features) or not np.isfinite(found.weights).all():
        raise Failure("weights")
    if len(found.output_spikes) and found.output_spikes[:, 2].max() >= net.n_units:
        raise Failure("spikes")


def _check_parts(found: Any) -> None:
    if found.n_samples != sum(found._sizes) or len(found.first_samples) != len(found):
        raise Failure("parts")


def _check_dataset(found: Any) -> None:
    if found.X_train.shape[1] != found.X_test.shape[1] or len(found.X_train) != len(found.y_train):
        raise Failure("shapes")


def _check_block(block: Any) -> None:
    from softhebb_spiking._neo_block import as_presentations

    as_presentations(block)


def _check_sweep(sweep: Any) -> None:
    for task in sweep.tasks[:100]:
        if not task.key.isalnum():
            raise Failure(task.key)
        task.estimator()


IDX = {
    "train-images-idx3-ubyte": (5, 3, 2),
    "train-labels-idx1-ubyte": (5,),
    "t10k-images-idx3-ubyte": (4, 3, 2),
    "t10k-labels-idx1-ubyte": (4,),
}


def idx_parts() -> p.Parts:
    """Return the four files of a data set."""
    return {
        name: struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
        + bytes(i % 10 for i in range(int(np.prod(shape))))
        for name, shape in IDX.items()
    }


def _one_json(value: Any) -> Callable[[], p.Parts]:
    return lambda: {"json:file": json.dumps(value).encode()}


def _file(parts: p.Parts) -> bytes:
    return parts.get("json:file", parts.get("file", b""))


MEASURE = {
    **{"name": "accuracy", "unit": "points", "values": [1.0, 2.0], "must_exceed": 0.0},
    **{"mean": 22.0, "low": 20.0, "high": 24.0, "n_seeds": 2, "verdict": "holds"},
}
CLAIMS = {
    **{"dataset": "digits", "rungs": ["rate"], "seeds": [0, 1], "command": "x all y"},
    **{"date": "2026-01-01T00:00", "computing_s": 3.0, "seconds_of_a_seed": {"noise": 3.0}},
    "claims": [{"claim": 3, "network": "rate", "verdict": "holds", "measures": [MEASURE]}],
}
TOML = b"""dataset = "digits"
rung = "event"
samples = 30
held_out = 100
seeds = 2
score = "validation"
readouts = ["units"]
[fixed]
n_units = 5
fixed_options = {learning_epoch = 1}
[grid]
temperature = [0.02, 0.05]
n_steps = [5, 10]
"""


def _checkpoint_bytes() -> bytes:
    from softhebb_spiking.checkpoint import Checkpoint

    def save(path: Path) -> None:
        model = SpikingSoftHebb(n_units=3, n_steps=4, settle_steps=2, random_state=0)
        model.fit(np.random.default_rng(0).random((8, 6)), checkpoint=Checkpoint(path))

    return _saved(save, "a.ckpt")


def _recording_parts() -> p.Parts:
    return p.npz_parts(_saved(_recording().save, "a.npz"), ("header",))


def _exchange_parts() -> p.Parts:
    from softhebb_spiking.deployment.exchange import export_model

    whole = _saved(lambda path: export_model(_model(), path, "npz"), "a.npz")
    return p.npz_parts(whole, ("params", "class", "format"))


def _read_claims(path: Path) -> Any:
    from softhebb_spiking.experiments import insertion

    page = path.with_name("page.md")
    marks = "".join(
        f"<!-- results: {block} digits -->\n<!-- end of results -->\n" for block in insertion.BLOCKS
    )
    page.write_text(marks)
    try:
        found = insertion._read(path)
        if found["dataset"] == "digits":
            return insertion._replaced(page, marks, {"digits": found})
        return ""
    finally:
        page.unlink()


def _check_page(text: str) -> None:
    if text and (text.count("<!--") != 6 or "<script" in text):
        raise Failure("marks were planted")


def _read_result(path: Path) -> Any:
    from softhebb_spiking.experiments.run import Task, _read

    (path.parent / "tasks").mkdir(exist_ok=True)
    target = path.parent / "tasks" / "noise-seed-0-aaaaaaaa.json"
    target.write_bytes(path.read_bytes())
    try:
        return _read(path.parent, Task(experiment="noise", seed=0), "a" * 64)
    finally:
        target.unlink()
        target.parent.rmdir()


def _check_result(found: Any) -> None:
    if found is not None and not (isinstance(found.data, dict) and found.elapsed_s >= 0):
        raise Failure(f"{found}")


def _read_drawing(path: Path) -> Any:
    from softhebb_spiking.show.stage import drawing_from

    try:
        message = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # as the server does
        raise ValueError("not JSON") from error
    return drawing_from(message, 4)


def _check_drawing(found: Any) -> None:
    drawing, draw = found
    if drawing.shape != (4,) or not ((drawing >= 0) & (drawing <= 255)).all() or draw < 0:
        raise Failure(f"{found}")


def _import(path: Path) -> Any:
    from softhebb_spiking.deployment.exchange import import_model

    return import_model(path)[0]


def _load(name: str, module: str = "softhebb_spiking") -> Callable[[Path], Any]:
    import importlib

    return lambda path: getattr(importlib.import_module(module), name)(path)


def _load_data(path: Path) -> Any:
    from softhebb_spiking.data import load_dataset

    return load_dataset("fashion-mnist", root=path.parent)


def _read_parts(path: Path) -> Any:
    from softhebb_spiking.recording_parts import RecordingParts

    return RecordingParts(path.parent)


def _read_recording(path: Path) -> Any:
    from softhebb_spiking.recording import Recording

    return Recording.load(path)


def _hdf5(suffix: str) -> Callable[[p.Parts], bytes]:
    return lambda parts: p.as_hdf5(parts, _whole_hdf5(suffix))


PARTS = {"format": "softhebb-spiking recording in parts 1", "complete": True}
RESULT = {"digest": "a" * 64, "data": {"x": 1.5}, "elapsed_s": 2.0, "date": ""}
DRAWING = {"pixels": [0, 1.5, 255, 3], "draw": 4, "page": "x"}
_sft = p.as_safetensors
READERS = {
    one.name: one
    for one in (
        Reader(
            "model", "a.safetensors", lambda: p.safetensors_parts(_saved(_model().save, "a")),
            _sft, _load("load_model"), check_model,
        ),
        Reader(
            "checkpoint", "a.ckpt", lambda: p.safetensors_parts(_checkpoint_bytes()), _sft,
            _load("read_checkpoint", "softhebb_spiking.checkpoint"), _check_checkpoint,
        ),
        Reader("recording", "a.npz", _recording_parts, p.as_npz, _read_recording, _check_recording),
        Reader(
            "parts", "parts.json", _one_json(PARTS | {"samples_of_part": [3, 3, 1]}), _file,
            _read_parts, _check_parts,
        ),
        Reader("idx", "train-images-idx3-ubyte", idx_parts, _file, _load_data, _check_dataset),
        Reader(
            "idx.gz", "train-images-idx3-ubyte.gz", idx_parts, _file, _load_data, _check_dataset
        ),
        Reader("npz", "a.npz", _exchange_parts, p.as_npz, _import, check_model),
        Reader("sweep", "a.toml", lambda: {"file": TOML}, _file,
               _load("read_spec", "softhebb_spiking.sweep.spec"), _check_sweep),
        Reader("result", "a.json", _one_json(RESULT), _file, _read_result, _check_result),
        Reader("claims", "claims.json", _one_json(CLAIMS), _file, _read_claims, _check_page),
        Reader("drawing", "a.json", _one_json(DRAWING), _file, _read_drawing, _check_drawing),
        Reader("nir", "a.nir", _hdf5_seed, _hdf5("nir"), _import, check_model),
        Reader("nix", "a.nix", _hdf5_seed, _hdf5("nix"),
               _load("load_neo", "softhebb_spiking.neuro"), _check_block),
        Reader("nwb", "a.nwb", _hdf5_seed, _hdf5("nwb"),
               _load("load_neo", "softhebb_spiking.neuro"), _check_block),
    )
}  # fmt: skip
HDF5 = ("nir", "nix", "nwb")

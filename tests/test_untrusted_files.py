"""Files of others: an error that names the file, or an object that holds; nothing is executed."""

import ast
import contextlib
import gzip
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import parts as p
from fuzz.readers import HDF5, IDX, OURS, READERS, TOML, check_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from softhebb_spiking import Checkpoint, SpikingSoftHebb, load_model
from softhebb_spiking._untrusted import EXPANSION, ROOM_BYTES, most_bytes, parse_json, read_npz
from softhebb_spiking.data import load_dataset
from softhebb_spiking.deployment.exchange import import_model
from softhebb_spiking.neuro import load_neo
from softhebb_spiking.recording import Recording
from softhebb_spiking.sweep.spec import make_sweep, read_spec

ROOT = Path(__file__).resolve().parent.parent
CHEAP = [name for name in READERS if name not in HDF5]


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(name: str, tmp_path: Path) -> None:
    assert READERS[name].outcome(READERS[name].seed(), tmp_path) == "valid"


@pytest.mark.parametrize("name", CHEAP)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, 2**63), rounds=st.integers(1, 6))
def test_changed_files_are_refused_or_valid(
    name: str, number: int, rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, parts = random.Random(number), READERS[name].seed()
    for _ in range(rounds):
        parts = p.change_parts(parts or READERS[name].seed(), rng, p.change_bytes)
    READERS[name].outcome(parts, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("name", HDF5)
def test_changed_hdf5_files_are_refused_or_valid(name: str, tmp_path: Path) -> None:
    """A few; the harness has forks instead of the process that takes half a second."""
    rng = random.Random(0)
    for _ in range(3):
        parts = p.change_parts(READERS[name].seed(), rng, p.change_bytes)
        READERS[name].outcome(parts, tmp_path)


def test_no_source_unpickles_but_the_worker_of_lava() -> None:
    """That one reads what its own process wrote into a private folder."""
    names = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    found = {}
    for path in (ROOT / "softhebb_spiking").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {(node.module or "").partition(".")[0]}
            else:
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in ("eval", "exec"), path
                if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                    assert ast.unparse(node.value) == "False", path
                continue
            if imported & names:
                found[path.name] = imported & names
    assert found == {"_lava_worker.py": {"pickle"}, "_workers.py": {"joblib"}}


class Trap:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "executed")


@pytest.mark.parametrize("name", READERS)
def test_pickles_are_never_executed(name: str, tmp_path: Path) -> None:
    touched, reader = tmp_path / "touched", READERS[name]
    planted = pickle.dumps(Trap(touched))
    folder = tmp_path / "files"
    folder.mkdir()
    assert pickle.loads(pickle.dumps(Trap(tmp_path / "works"))) is not None
    assert (tmp_path / "works").exists()
    (folder / reader.file).write_bytes(planted)
    with contextlib.suppress(*OURS):
        assert reader.read(folder / reader.file) is None
    npy = io.BytesIO()
    np.save(npy, np.array([Trap(touched)], dtype=object), allow_pickle=True)
    for part in reader.seed():
        for content in (planted, npy.getvalue()):
            if name not in HDF5:
                reader.outcome(reader.seed() | {part: content}, folder)
    assert not touched.exists()


# Announcing more than there is: each file is read in a process of 2 GB of address space.
HUGE = 10**12


def npy_header(shape: str, dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text.encode()


def huge_tensors(name: str, path: Path, *, sparse: bool) -> None:
    parts = READERS[name].seed()
    header = json.loads(parts["json:header"])
    key = next(key for key in header if key.startswith("weights"))
    header[key] |= {"shape": [10**6, 10**6], "data_offsets": [0, 8 * HUGE]}
    content = p.as_safetensors({"json:header": json.dumps(header).encode(), "data": b""})
    path.write_bytes(content)
    if sparse:
        text = json.dumps({key: header[key]}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        os.truncate(path, 8 + len(text) + 8 * HUGE)


def huge_npz(name: str, path: Path, *, bomb: bool) -> None:
    parts = READERS[name].seed()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", b"")
        for part, content in parts.items():
            if not part.startswith("json:") and part != "weights":
                archive.writestr(f"{part}.npy", content)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        header = npy_header("(50000000,)" if bomb else "(1000000, 1000000)")
        with archive.open("weights.npy", "w") as file:
            file.write(header)
            for _ in range(400 if bomb else 0):
                file.write(bytes(10**6))


def hidden_bomb(path: Path) -> None:
    """Write 2 GB of zeros whose claim is 100 bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("format.npy", "w") as file:
            for _ in range(200):
                file.write(bytes(10**7))
    content, size = path.read_bytes(), struct.pack("<I", 2 * 10**9)
    assert content.count(size) >= 1
    path.write_bytes(content.replace(size, struct.pack("<I", 100)))


def huge_idx(path: Path, *, packed: bool) -> None:
    content = struct.pack(">HBB3I", 0, 8, 3, 10**4, 10**4, 10**4)
    for name, data in READERS["idx"].seed().items():
        (path.parent / name).write_bytes(data)
    target = path.parent / "train-images-idx3-ubyte"
    target.unlink()
    if packed:
        content = gzip.compress(content)
    (path.parent / f"{target.name}{'.gz' if packed else ''}").write_bytes(content)


def gzip_bomb(path: Path) -> None:
    """Write 1 GB of zeros behind an image file that is whole."""
    huge_idx(path, packed=True)
    target = path.parent / "train-images-idx3-ubyte.gz"
    with gzip.open(target, "wb", compresslevel=1) as file:
        file.write(READERS["idx"].seed()["train-images-idx3-ubyte"])
        for _ in range(100):
            file.write(bytes(10**7))


def huge_hdf5(path: Path) -> None:
    """Write a valid file in which one array is said to have 10^12 elements."""
    planted(path, lambda file, name: file.create_dataset(name, (10**6, 10**6), "f8", chunks=(9, 9)))


def text_bomb(path: Path) -> None:
    """Write 9000 elements that all point to the same text of 1 MB."""
    import h5py

    places = []

    def write(file: Any, name: str) -> Any:
        texts = np.array(["x" * 10**6, *["yy"] * 8999], dtype=object)
        data = file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        places.append(data.id.get_offset())
        return data

    planted(path, write)
    content, (place,), size = bytearray(path.read_bytes()), places, 16
    content[place : place + size * 9000] = content[place : place + size] * 9000
    path.write_bytes(bytes(content))


def planted(path: Path, write: Callable[[Any, str], Any]) -> None:
    """Write a valid file with one array, its attributes kept, in place of another."""
    import h5py

    path.write_bytes(READERS[path.suffix[1:]].build({}))
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        ends = ("weights/weight", ".times/data", "units/spike_times", "trials/label")
        name = next(n for n in reversed(names) if n.endswith(ends))
        attributes = dict(file[name].attrs)
        del file[name]
        write(file, name).attrs.update(attributes)


def giant_grid(path: Path) -> None:
    grid = "\n".join(
        f"{name} = {list(range(1, 1001))}" for name in ("n_units", "n_steps", "n_epochs")
    )
    path.write_text(f"seeds = 1000\n[grid]\n{grid}\n")


BOMBS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "safetensors, huge shape": ("model", "a", lambda f: huge_tensors("model", f, sparse=False)),
    "safetensors, sparse": ("model", "a", lambda f: huge_tensors("model", f, sparse=True)),
    "checkpoint, sparse": ("checkpoint", "a", lambda f: huge_tensors("checkpoint", f, sparse=True)),
    "npz, huge shape": ("recording", "a.npz", lambda f: huge_npz("recording", f, bomb=False)),
    "npz, bomb": ("recording", "a.npz", lambda f: huge_npz("recording", f, bomb=True)),
    "exchange, hidden bomb": ("npz", "a.npz", hidden_bomb),
    "exchange, bomb": ("npz", "a.npz", lambda f: huge_npz("npz", f, bomb=True)),
    "IDX, huge shape": ("idx", "a", lambda f: huge_idx(f, packed=False)),
    "IDX.gz, huge shape": ("idx", "a", lambda f: huge_idx(f, packed=True)),
    "IDX.gz, bomb": ("idx", "a", gzip_bomb),
    "NIR, huge array": ("nir", "a.nir", huge_hdf5),
    "NIX, huge array": ("nix", "a.nix", huge_hdf5),
    "NWB, huge array": ("nwb", "a.nwb", huge_hdf5),
    "NWB, one text for all": ("nwb", "a.nwb", text_bomb),
    "TOML, giant grid": ("sweep", "a.toml", giant_grid),
    "TOML, seeds": ("sweep", "a.toml", lambda f: f.write_text(f"seeds = {HUGE}")),
    "TOML, nested": ("sweep", "a.toml", lambda f: f.write_text("a = " + "[" * 10**5)),
    "JSON, nested": ("claims", "claims.json", lambda f: f.write_text("[" * 10**6)),
    "parts, nested": ("parts", "parts.json", lambda f: f.write_text("[" * 10**6)),
}
MEASURED = """
import json, resource, sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from fuzz.readers import READERS
loads = [line.split(" ", 2) for line in sys.stdin.read().splitlines()]
import h5py, neo.io, nir, nixio, pynwb
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for name, path, label in loads:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        READERS[name].read(Path(path))
        error = "none"
    except BaseException as caught:
        error = f"{type(caught).__name__}: {caught}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([label, error, grown / 1024, time.process_time() - started]), flush=True)
"""


def test_what_is_announced_takes_neither_memory_nor_time(tmp_path: Path) -> None:
    """One process for all: what each adds to its highest memory, within 4 GB of address space."""
    lines = []
    for number, (label, (reader, name, write)) in enumerate(BOMBS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder / name)
        lines.append(f"{reader} {folder / name} {label}")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], input="\n".join(lines), capture_output=True, text=True,
        check=False, timeout=120, cwd=ROOT,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [label for label, *_ in found] == list(BOMBS), done.stderr
    wrong = []
    for (label, error, grown_mb, seconds), number in zip(found, range(len(found)), strict=True):
        names_it = str(tmp_path / str(number)) in error
        if not (error.startswith(("ValueError", "TypeError")) and names_it):
            wrong.append((label, error[:300]))
        # Of 64 MB that are never too large, a copy, and what libraries load when first used.
        if grown_mb > 2.5 * ROOM_BYTES / 2**20 or seconds > 2.0:
            wrong.append((label, grown_mb, seconds))
    assert not wrong, wrong


def test_the_room_of_a_file_grows_with_what_it_takes_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(b"x")
    os.truncate(path, 1 << 40)
    assert most_bytes(path) <= ROOM_BYTES + EXPANSION * (1 << 16)
    with path.open("wb") as file:
        file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    assert most_bytes(path) == ROOM_BYTES + EXPANSION * (1 << 20)


def test_a_recording_that_is_packed_too_well_is_written_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be refused as a bomb: whatever `save` writes, `load` reads."""
    monkeypatch.setattr("softhebb_spiking._untrusted.ROOM_BYTES", 0)
    recording = READERS["recording"].read(_written("recording", tmp_path))
    silent = np.zeros((200_000, 3), np.int64)
    object.__setattr__(recording, "spike_counts", silent)
    object.__setattr__(recording, "inhibition", None)
    recording.save(tmp_path / "b.npz")
    assert Recording.load(tmp_path / "b.npz").spike_counts.shape == silent.shape
    assert (tmp_path / "b.npz").stat().st_size > silent.nbytes


def _written(name: str, folder: Path, **changes: bytes) -> Path:
    reader = READERS[name]
    path = folder / reader.file
    path.write_bytes(reader.build(reader.seed() | changes))
    return path


# What was found, and is kept: each was another error, a hang, or an object that did not hold.


def changed_json(name: str, part: str, change: Callable[[Any], Any]) -> p.Parts:
    value = json.loads(READERS[name].seed()[part])
    change(value)
    return READERS[name].seed() | {part: json.dumps(value).encode()}


def set_param(**changes: Any) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        metadata = header["__metadata__"]
        metadata["params"] = json.dumps(json.loads(metadata["params"]) | changes)

    return change


def set_meta(**changes: Any) -> Callable[[Any], None]:
    return lambda header: header["__metadata__"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_param(temperature=10**400), "too large"),
        (set_param(backend_options={"n_threads": 2, "progress": "x"}), "precision, n_threads, got"),
        (set_param(backend_options={"record_to": "/x"}, backend="lava"), "may have timeout_s, got"),
        (set_param(backend_options=[1]), "may have precision"),
        (set_param(backend_options={"n_threads": [1]}), "n_threads must be a number or a name"),
        (set_param(nothing=1), "unexpected keyword"),
        (set_param(random_state="seed"), "random_state must be an integer"),
        (set_param(random_state=-1), "random_state must be an integer"),
        (set_meta(params="[1]"), "params must be an object"),
        (set_meta(params="[" * 10**5), "nested too deeply"),
        (set_meta(params='{"temperature": NaN}'), "NaN is no JSON"),
        (set_meta(n_samples_seen="-1"), "n_samples_seen must be an integer"),
        (set_meta(n_samples_seen="x"), "damaged"),
        (set_meta(feature_names='["a"]'), "list of 6 names"),
        (set_meta(feature_names='{"a": 1}'), "list of 6 names"),
    ],
)
def test_models(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(p.as_safetensors(changed_json("model", "json:header", change)))
    with pytest.raises(ValueError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("scales", [[1.0, np.nan, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0]])
def test_scales_of_a_model_fit_it(scales: list[float], tmp_path: Path) -> None:
    path = _written("model", tmp_path)
    header = json.loads(READERS["model"].seed()["json:header"])["__metadata__"]
    arrays = {"weights": np.ones((3, 6)), "log_prior": np.zeros(3)}
    path.write_bytes(save(arrays | {"weight_scales": np.array(scales)}, header))
    with pytest.raises(ValueError, match="weight_scales must be"):
        load_model(path)
    path.write_bytes(save(arrays | {"weight_scales": np.ones(3)}, header))
    check_model(load_model(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, record: record["state"].pop("n_samples_seen_"), "n_samples_seen_"),
        (lambda arrays, record: record["state"].pop("n_features_in_"), "n_features_in_"),
        (lambda arrays, record: record["state"].update(n_samples_seen_=2**63), "n_samples_seen_"),
        (
            lambda arrays, record: arrays.update(weights_=arrays["weights_"].astype(np.float16)),
            "must be float64",
        ),
        (lambda arrays, record: record.update(position=[1, 0]), "beyond the end"),
        (lambda arrays, record: record.update(position=[0, 9]), "beyond the end"),
    ],
)
def test_damaged_checkpoints_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((8, 6))
    model = SpikingSoftHebb(n_units=3, n_steps=4, settle_steps=2, random_state=0)
    path = tmp_path / "ckpt"
    model.fit(X, checkpoint=Checkpoint(path))
    with safe_open(path, framework="numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    record = json.loads(metadata["record"])
    change(arrays, record)
    path.write_bytes(save(arrays, metadata | {"record": json.dumps(record)}))
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(X, checkpoint=Checkpoint(path, resume=True))
    assert str(path) in str(caught.value)


def test_a_checkpoint_cannot_set_other_attributes(tmp_path: Path) -> None:
    def plant(header: Any) -> None:
        record = json.loads(header["__metadata__"]["record"])
        record["state"]["_simulate"] = 1
        header["__metadata__"]["record"] = json.dumps(record)

    path = tmp_path / "ckpt"
    path.write_bytes(p.as_safetensors(changed_json("checkpoint", "json:header", plant)))
    with pytest.raises(ValueError, match="_simulate is no part of a learned state"):
        READERS["checkpoint"].read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": npy_header("(3, 6)") + bytes(8)}, "of the size that it states"),
        ({"weights": npy_header("(-3, -6)") + bytes(144)}, "damaged"),
        ({"weights": npy_header("((3, 6)") + bytes(144)}, "damaged"),  # TokenError
        ({"weights": npy_header("(3, 6)", "|O") + bytes(144)}, "plain numbers"),
        ({"spike_counts": npy_header("()", "<i8") + bytes(8)}, "spike_counts must have shape"),
        ({"input_spikes": npy_header("()", "<i8") + bytes(8)}, "input_spikes must have shape"),
        ({"output_spikes": npy_header("(1, 3)", "<i8") + b"\xff" * 24}, "output_spikes must lie"),
        ({"weights": npy_header("(3, 6)") + b"\xff" * 144}, "must be finite"),
        ({"json:header": b"[" * 10**5}, "nested too deeply"),
    ],
)
def test_recordings(changes: dict[str, bytes], message: str, tmp_path: Path) -> None:
    path = _written("recording", tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        Recording.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_are_packed_as_numpy_does(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", npy_header("(1,)") + bytes(8))
    with pytest.raises(ValueError, match="in a way that numpy does not write"):
        read_npz(tmp_path / "a.npz")


def test_names_in_an_archive_are_no_paths(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("recording", "npz"):
        parts = READERS[name].seed()
        READERS[name].outcome(parts | {"../../out": parts.get("weights", b"")}, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_many_parts_are_counted_at_once(tmp_path: Path) -> None:
    parts = changed_json("parts", "json:file", lambda v: v.update(samples_of_part=[1] * 200_000))
    started = time.process_time()
    assert READERS["parts"].outcome(parts, tmp_path) == "valid"
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("sizes", ["x", [1, -1], [True], [1.5], ["../x"], {"a": 1}, None])
def test_lists_of_parts(sizes: Any, tmp_path: Path) -> None:
    parts = changed_json("parts", "json:file", lambda v: v.update(samples_of_part=sizes))
    assert READERS["parts"].outcome(parts, tmp_path) == "refused"


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always looks there")
def test_workers_of_a_command_import_nothing_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(
        "samples = 50\nseeds = 2\n[fixed]\nn_units = 3\nn_steps = 5\n"
    )
    for name in ("joblib", "multiprocessing", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path; Path('ran').touch()")
    command = Path(sys.executable).with_name("softhebb-spiking")
    done = subprocess.run(
        [str(command), "sweep", "spec.toml", "--output", "results", "--jobs", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", [(0, 3, 2), (2**32 - 1, 2**32 - 1, 0), (2**31, 3, 2)])
def test_images_without_pixels_or_with_too_many_are_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    for name, data in READERS["idx"].seed().items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, *shape))
    with pytest.raises(ValueError, match="nothing or more than it can hold") as caught:
        load_dataset("mnist", root=tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["model", "checkpoint", "recording", "parts", "npz", "claims"])
def test_a_pipe_is_refused_at_once(name: str, tmp_path: Path) -> None:
    """To open one for reading blocks until somebody writes; so another process tries."""
    path = tmp_path / READERS[name].file
    os.mkfifo(path)
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from fuzz.readers import OURS, READERS
try:
    READERS[{name!r}].read(Path({str(path)!r}))
except OURS as error:
    print(error)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert str(path.parent if name == "parts" else path) in done.stdout


def test_modules_beside_a_file_are_not_imported(tmp_path: Path) -> None:
    """Python looks for modules in the folder where it works, unless it is isolated."""
    path = _written("nix", tmp_path)
    for name in ("json", "numpy", "h5py", "softhebb_spiking"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path; Path('ran').touch()")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        f"from softhebb_spiking.neuro import load_neo\nprint(len(load_neo({str(path)!r}).segments))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2"]
    assert not (tmp_path / "ran").exists()


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for name, data in READERS["idx"].seed().items():
        (tmp_path / name).write_bytes(data)
    shape = (4, 2, 2)
    header = struct.pack(">HBB3I", 0, 8, 3, *shape)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(header + bytes(16))
    with pytest.raises(ValueError, match="do not go with test images") as caught:
        load_dataset("mnist", root=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(IDX) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML.replace(b"0.02", b"1979-05-27"), "values of JSON"),
        (TOML.replace(b"n_units = 5", b"n_units = 1979-05-27"), "values of JSON"),
        (TOML.replace(b"0.02", b"1" + b"0" * 400), "too large"),
        (TOML.replace(b"seeds = 2", b"seeds = 18446744073709551616"), "seeds must be"),
        (b"a = " + b"[" * 10**5, "not TOML"),
        (b"a = " + b"9" * 5000, "not TOML"),
    ],
)
def test_specifications(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)


def test_keys_of_tasks_are_no_paths() -> None:
    sweep = make_sweep({"fixed": {"backend_options": {"../../x": "../../y"}}})
    assert sweep.tasks[0].key.isalnum()


@pytest.mark.parametrize("text", ["a\n<!-- end of results -->", "<script>", "a|b", "`", 3, None])
def test_texts_of_claims_stay_in_their_cells(text: Any, tmp_path: Path) -> None:
    def plant(value: Any) -> None:
        value["claims"][0]["measures"][0]["unit"] = text

    parts = changed_json("claims", "json:file", plant)
    assert READERS["claims"].outcome(parts, tmp_path) == "refused"


@pytest.mark.parametrize("name", ["mean", "computing_s", "noise"])
def test_claims_without_their_numbers_are_refused(name: str, tmp_path: Path) -> None:
    def plant(value: Any) -> None:
        measure = value["claims"][0]["measures"][0]
        for place in (measure, value, value["seconds_of_a_seed"]):
            if name in place:
                place[name] = None

    assert READERS["claims"].outcome(changed_json("claims", "json:file", plant), tmp_path) == (
        "refused"
    )


def test_json_is_strict() -> None:
    for text in ("NaN", "[Infinity]", "[" * 10**5, "{"):
        with pytest.raises(ValueError, match=r"no JSON|nested|Expecting"):
            parse_json(text)


def test_a_unit_is_a_name_and_no_computation(tmp_path: Path) -> None:
    """Quantities evaluates units; this one would take all memory and never end."""
    import h5py

    path = _written("nix", tmp_path, **{"json:changes": b"[]", "json:flips": b"[]"})
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(lambda _, item: found.append(item) if "unit" in item.attrs else None)
        found[0].attrs["unit"] = "9**9**9**9"
    with pytest.raises(ValueError, match="is not the name of a unit"):
        load_neo(path)


@pytest.mark.parametrize("kind", ["external", "soft", "cycle", "storage", "knot"])
def test_hdf5_leads_nowhere_else(kind: str, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.nwb"
    with h5py.File(path, "w") as file:
        if kind == "external":
            file["x"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "soft":
            file["x"] = h5py.SoftLink("/")
        elif kind == "cycle":
            file["x"] = file["/"]
        elif kind == "storage":
            file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])
        else:  # 2**30 names of 30 groups
            group = file
            for _ in range(30):
                group["a"] = group["b"] = group.create_group("c")
                group = group["a"]
    message = {"storage": "another file", "cycle": "nested", "knot": "knotted"}
    with pytest.raises(ValueError, match=message.get(kind, "link to another place")) as caught:
        load_neo(path)
    assert str(path) in str(caught.value)


def test_spike_times_of_nwb_are_checked(tmp_path: Path) -> None:
    import h5py

    whole = READERS["nwb"].build({})
    for name, value in (
        ("units/spike_times_index", 2**62),
        ("units/spike_times", np.nan),
        ("units/spike_times", 1e12),
        ("analysis/network/dt_ms", 0.0),
        ("analysis/network/n_steps", 0),
    ):
        path = tmp_path / "a.nwb"
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            data = file[name]
            data[...] = np.full(data.shape, value, data.dtype)
        with pytest.raises(ValueError, match=r"a\.nwb is no NWB file, or a damaged one"):
            load_neo(path)


def test_a_small_graph_of_a_large_circuit_is_refused(tmp_path: Path) -> None:
    """Its matrices would be made to compare them."""
    import h5py

    path = tmp_path / "a.nir"
    path.write_bytes(READERS["nir"].build({}))
    with h5py.File(path, "r+") as file:
        circuit = json.loads(file["node/metadata/circuit"][()])
        del file["node/metadata/circuit"]
        file["node/metadata/circuit"] = json.dumps(circuit | {"population_size": 10_000})
    with pytest.raises(ValueError, match=r"fan_out has shape \(6, 3\), its circuit"):
        import_model(path)

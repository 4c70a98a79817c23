"""The Lava rung against the oracle, and what happens when it breaks."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lava", reason="Lava is not installed")

from softhebb_spiking.backends import lava as backend
from softhebb_spiking.backends._lava_worker import call_in_session
from softhebb_spiking.encoding import draw_input_spikes
from softhebb_spiking.params import NetworkParams, Run, RunResult

pytestmark = pytest.mark.lava

N_FEATURES, N_UNITS, N_SAMPLES = 12, 4, 3
PROBES = ("drive", "inhibition", "psp")
EXACT = 1e-9  # relative; both sides round at 1e-16 and add up a few hundred terms
Oracle = Callable[..., Any]
Clamp = Callable[..., Run]


def network(**changes: object) -> NetworkParams:
    values: dict[str, object] = {
        "n_features": N_FEATURES,
        "n_units": N_UNITS,
        "n_steps": 12,
        "settle_steps": 5,
        "population_size": 16,
        "total_rate": 4.0,
        "temperature": 0.05,
        "psp_tau_ms": 7.0,
        "dt_ms": 0.5,
    }
    return NetworkParams(**(values | changes))


def example(seed: int = 0, n_samples: int = N_SAMPLES, **changes: object) -> Run:
    """A run that learns, with other samples, weights and learning rates for each seed."""
    rng = np.random.default_rng(seed)
    samples = rng.random((n_samples, N_FEATURES))
    weights = rng.random((N_UNITS, N_FEATURES))
    prior = rng.dirichlet(np.ones(N_UNITS))
    return Run(
        network=network(**changes),
        samples=samples / np.linalg.norm(samples, axis=1, keepdims=True),
        weights=weights / np.linalg.norm(weights, axis=1, keepdims=True),
        log_prior=np.log(prior),
        learning_rates=rng.uniform(0.1, 0.5, n_samples),
        prior_learning_rates=rng.uniform(0.01, 0.1, n_samples),
        seed=seed,
        first_sample=5,
        probes=PROBES,
    )


def relative_error(result: RunResult, expected: Any) -> dict[str, float]:
    """Largest deviation of weights, log prior and probes, relative to the largest entry of each."""
    pairs = {
        "weights": (result.weights, expected.weights),
        "log_prior": (result.log_prior, expected.log_prior),
        **{name: (result.probes[name], getattr(expected, name)) for name in PROBES},
    }
    return {name: float(np.abs(a - b).max() / np.abs(b).max()) for name, (a, b) in pairs.items()}


@pytest.mark.parametrize("inhibition", ["feedback", "graded", "exact"])
def test_a_clamped_run_is_the_model(
    oracle: Oracle, clamp: Clamp, inhibition: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = clamp(example(inhibition=inhibition))
    result, expected = backend.simulate(run), oracle(run)
    assert capfd.readouterr() == ("", "")  # Lava's usual warnings are not for users
    assert np.abs(expected.weights - run.weights).max() > 0.01  # there was something to learn
    assert np.abs(expected.log_prior - run.log_prior).max() > 0.01
    errors = relative_error(result, expected)
    assert max(errors.values()) < EXACT, errors
    np.testing.assert_array_equal(result.spike_counts, expected.spike_counts)
    np.testing.assert_array_equal(result.input_spikes, run.input_spikes)
    np.testing.assert_array_equal(result.output_spikes, run.output_spikes)
    # The comparison would notice a wrong sign of the weight decay.
    assert relative_error(result, oracle(run, decay_sign=+1.0))["weights"] > 1e6 * EXACT


def test_the_log_prior_stops_at_zero(oracle: Oracle, clamp: Clamp) -> None:
    run = clamp(example(n_samples=1))
    run = dataclasses.replace(run, prior_learning_rates=np.full(1, 30.0))
    result, expected = backend.simulate(run), oracle(run)
    assert (expected.log_prior == 0.0).any()
    assert relative_error(result, expected)["log_prior"] < EXACT


@pytest.fixture(scope="module")
def free() -> tuple[Run, RunResult]:
    run = example(n_samples=12, n_steps=30)
    return run, backend.simulate(run)


def test_input_spikes_are_those_of_the_shared_generator(free: tuple[Run, RunResult]) -> None:
    run, result = free
    expected = draw_input_spikes(run.samples, run.network, run.seed, run.first_sample)
    np.testing.assert_array_equal(result.input_spikes, expected)


@pytest.mark.statistical
def test_output_spikes_are_binomial_given_the_drive(
    oracle: Oracle, free: tuple[Run, RunResult]
) -> None:
    run, result = free
    net = run.network
    # The prior changes within the run; replay its law from the spikes themselves.
    replay = oracle(
        dataclasses.replace(
            run, input_spikes=result.input_spikes, output_spikes=result.output_spikes
        )
    )
    assert max(relative_error(result, replay).values()) < EXACT
    p = replay.rates[:, net.settle_steps :]
    deviation = replay.spike_counts.sum(axis=0) - net.population_size * p.sum(axis=(0, 1))
    sigma = np.sqrt((net.population_size * p * (1 - p)).sum(axis=(0, 1)))
    # Given the past every count is binomial, so each sum is a martingale, nearly normal. Four units
    # at 4.5 σ: a false alarm once in 37 000 seeds; this seed is fixed.
    assert (np.abs(deviation) < 4.5 * sigma).all(), deviation / sigma


def test_the_seed_decides_the_result(free: tuple[Run, RunResult]) -> None:
    run, result = free
    again = backend.simulate(run)
    np.testing.assert_array_equal(again.output_spikes, result.output_spikes)
    np.testing.assert_array_equal(again.weights, result.weights)
    np.testing.assert_array_equal(again.log_prior, result.log_prior)


def test_a_frozen_run_counts_as_it_would_with_plastic_synapses() -> None:
    run = dataclasses.replace(
        example(seed=3),
        learning_rates=np.zeros(N_SAMPLES),
        prior_learning_rates=np.zeros(N_SAMPLES),
    )
    plastic = backend.simulate(run)  # the psp probe needs the traces of plastic synapses
    frozen = backend.simulate(dataclasses.replace(run, probes=(), keep_spikes=False))
    np.testing.assert_array_equal(frozen.spike_counts, plastic.spike_counts)
    np.testing.assert_array_equal(frozen.weights, run.weights)
    np.testing.assert_array_equal(plastic.weights, run.weights)
    assert frozen.spike_counts.sum() > 0
    assert len(frozen.input_spikes) == 0


def test_a_sharp_temperature_does_not_overflow() -> None:
    run = example(seed=4, inhibition="graded", temperature=1e-3, psp_tau_ms=0.5, n_samples=1)
    result = backend.simulate(run)
    assert np.isfinite(result.probes["inhibition"]).all()
    assert np.ptp(result.probes["inhibition"]) > 100.0  # nats: it did move that far


# Small networks that go wrong, as a user's own might.
BROKEN = """
import numpy as np
from softhebb_spiking._lava_compat import require_lava
require_lava()
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from softhebb_spiking.backends.lava import present

class Link(AbstractProcess):
    def __init__(self, *, role):
        super().__init__(role=role)
        self.a_in = InPort(shape=(1,))
        self.a_out = OutPort(shape=(1,))

@implements(proc=Link, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class LinkModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.role = proc_params["role"]
        if self.role == "fails to build":
            raise ZeroDivisionError("planted in __init__")

    def run_spk(self):
        if self.role == "fails" and self.time_step == 3:
            raise ZeroDivisionError("planted in run_spk")
        if self.role == "speaks first":
            self.a_out.send(np.zeros(1))
        self.a_in.recv()
        if self.role != "speaks first":
            self.a_out.send(np.zeros(1))

def run(roles, directory):
    first, second = (Link(role=role) for role in roles)
    first.a_out.connect(second.a_in)
    second.a_out.connect(first.a_in)
    config = Loihi2SimCfg(select_tag="floating_pt")
    present(lambda: first.run(condition=RunSteps(num_steps=5), run_cfg=config), first, directory)
    first.stop()
    return "ran"
"""


@pytest.fixture
def run_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "broken_links.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(folder))

    def run(*roles: str, timeout_s: float = 60.0) -> object:
        return call_in_session("broken_links:run", roles, timeout_s, "The pair of links")

    return run


@pytest.mark.parametrize(("role", "place"), [("fails", "run_spk"), ("fails to build", "__init__")])
def test_a_failing_model_shows_its_own_traceback(
    run_links: Callable[..., object], role: str, place: str
) -> None:
    with pytest.raises(RuntimeError, match=f"in {place}\n.*\nZeroDivisionError: planted") as caught:
        run_links("speaks first", role)
    assert "broken_links.py" in str(caught.value)


def test_a_deadlock_times_out(run_links: Callable[..., object]) -> None:
    assert run_links("speaks first", "listens") == "ran"
    with pytest.raises(TimeoutError, match="The pair of links did not end within 4 s"):
        run_links("listens", "listens", timeout_s=4.0)


LONG_RUN = """
import sys
sys.path[:0] = {path!r}
import numpy as np
from softhebb_spiking.backends.lava import simulate
from softhebb_spiking.params import NetworkParams, Run
samples = np.ones((2000, 1))
simulate(Run(
    network=NetworkParams(n_features=1, n_units=1), samples=samples, weights=np.ones((1, 1)),
    log_prior=np.zeros(1), learning_rates=np.ones(2000), prior_learning_rates=np.zeros(2000),
))
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="test-") as name:
        yield Path(name)


@pytest.fixture
def long_run(temporary: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process that simulates, and the mark in the environment of all its descendants."""
    mark = f"SOFTHEBB_TEST_MARK={uuid.uuid4().hex}"
    name, value = mark.split("=")
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN.format(path=sys.path)],
        env=os.environ | {name: value, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    yield process, mark
    process.kill()
    process.communicate()


def marked(mark: str) -> list[Path]:
    """/proc entries of living processes that carry the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(entry)
        except OSError:  # gone, or not ours
            continue
    return found


def mapped_segments(entries: list[Path]) -> set[Path]:
    found = set()
    for entry in entries:
        try:
            lines = (entry / "maps").read_text().splitlines()
        except OSError:
            continue
        found |= {Path(line.split()[5]) for line in lines if "/dev/shm/psm_" in line}
    return found


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_caller_leaves_nothing(
    long_run: tuple[subprocess.Popen[bytes], str], temporary: Path, number: signal.Signals
) -> None:
    process, mark = long_run
    # The caller, the worker, its manager and tracker, a service and five models.
    assert wait_until(lambda: len(marked(mark)) >= 10, 60.0)
    assert wait_until(lambda: mapped_segments(marked(mark)), 10.0)
    segments = mapped_segments(marked(mark))
    process.send_signal(number)
    _, errors = process.communicate(timeout=20.0)
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors
        # Gone by the time the exception reaches the user, but for the janitor, who sees it then.
        assert len(marked(mark)) <= 1
    assert wait_until(lambda: not marked(mark), 15.0)
    assert wait_until(lambda: not any(path.exists() for path in segments), 5.0)
    assert list(temporary.iterdir()) == []


PRESENT = """
import multiprocessing, sys, traceback
sys.path[:0] = {path!r}
import numpy as np
from softhebb_spiking.networks import SoftHebbNetwork
from softhebb_spiking.params import NetworkParams, Run
run = Run(
    network=NetworkParams(n_features=1, n_units=1), samples=np.ones((2000, 1)),
    weights=np.ones((1, 1)), log_prior=np.zeros(1), learning_rates=np.ones(2000),
    prior_learning_rates=np.zeros(2000),
)
with SoftHebbNetwork(run, record_to={record_to!r}) as network:
    try:
        network.present(timeout_s={timeout_s!r})
    except BaseException:
        assert multiprocessing.active_children() == []  # gone by the time the user hears of it
        try:
            network.present()
        except RuntimeError as error:
            assert "has ended" in str(error)
            print("cleaned up", file=sys.stderr)
        network.stop()
        raise
"""


@pytest.fixture
def presenting(temporary: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], str]]]:
    """Start a process, leader of a group, that runs a long network in itself."""
    started = []

    def start(
        record_to: str | None = None, timeout_s: float | None = None
    ) -> tuple[subprocess.Popen[bytes], str]:
        name, value = "SOFTHEBB_TEST_MARK", uuid.uuid4().hex
        script = PRESENT.format(path=sys.path, record_to=record_to, timeout_s=timeout_s)
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=os.environ | {name: value, "TMPDIR": str(temporary)},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process, f"{name}={value}"

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def segments() -> set[Path]:
    return set(Path("/dev/shm").glob("*"))


needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({"record_to": "/nonexistent"}, [b"RuntimeError: The Lava net", b"FileNotFoundError: "]),
        ({"timeout_s": 0.5}, [b"TimeoutError: The Lava net", b"did not end within 0.5 s"]),
    ],
)
def test_a_network_in_the_users_process_fails_cleanly(
    presenting: Callable[..., Any], options: dict[str, Any], messages: list[bytes]
) -> None:
    before = segments()
    process, mark = presenting(**options)
    _, errors = process.communicate(timeout=60.0)
    assert process.returncode == 1
    assert all(message in errors for message in (*messages, b"cleaned up")), errors
    assert wait_until(lambda: not marked(mark), 5.0)
    assert wait_until(lambda: not segments() - before, 5.0)


@needs_proc
@pytest.mark.parametrize("send", [os.kill, os.killpg])  # killpg is what Ctrl-C does
def test_an_interrupt_ends_a_network_in_the_users_process(
    presenting: Callable[..., Any], send: Callable[[int, int], None]
) -> None:
    process, mark = presenting()
    assert wait_until(lambda: len(marked(mark)) >= 9, 60.0)
    assert wait_until(lambda: mapped_segments(marked(mark)), 10.0)
    time.sleep(2.0)
    mapped = mapped_segments(marked(mark))
    send(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30.0)
    assert process.returncode != 0
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    assert b"cleaned up" in errors
    assert wait_until(lambda: not marked(mark), 5.0)
    assert wait_until(lambda: not any(path.exists() for path in mapped), 5.0)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_network_ends_with_the_users_process(
    presenting: Callable[..., Any], temporary: Path, number: signal.Signals
) -> None:
    process, mark = presenting()
    assert wait_until(lambda: len(marked(mark)) >= 9, 60.0)
    assert wait_until(lambda: mapped_segments(marked(mark)), 10.0)
    mapped = mapped_segments(marked(mark))
    process.send_signal(number)
    process.communicate(timeout=30.0)
    assert process.returncode == -number
    assert wait_until(lambda: not marked(mark), 15.0)
    assert wait_until(lambda: not any(path.exists() for path in mapped), 5.0)
    assert list(temporary.iterdir()) == []


@needs_proc
def test_a_model_process_that_is_killed_is_noticed(presenting: Callable[..., Any]) -> None:
    process, _ = presenting()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert wait_until(lambda: len(children.read_text().split()) >= 7, 60.0)
    time.sleep(2.0)
    os.kill(int(children.read_text().split()[-1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=30.0)
    assert b"ended with exit code -9" in errors
    assert b"cleaned up" in errors


USER_SCRIPT = """
import sys
sys.path[:0] = {path!r}
import numpy as np
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.processes import RateEncoder, SoftHebbLayer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

params = NetworkParams(n_features=4, n_units=2, n_steps=20, settle_steps=10)
steps = 2 * (params.presentation_steps + 1)
samples = np.eye(4)[[0, 3]]
source = Source(data=np.repeat(samples.T, steps // 2, axis=1))
encoder = RateEncoder(params=params, seed=1)
layer = SoftHebbLayer(
    params=params, weights=np.eye(4)[[0, 3]], learning_rates=0.2, prior_learning_rates=0.01, seed=1
)
sink = Sink(shape=(2,), buffer=steps)
source.s_out.connect(encoder.x_in)
encoder.s_out.connect(layer.s_in)
layer.s_out.connect(sink.a_in)
try:
    layer.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
    spikes = sink.data.get().reshape(2, 2, steps // 2).sum(axis=2)
    assert (spikes.max(axis=0) > 0.9 * spikes.sum(axis=0)).all(), spikes
    assert (spikes.argmax(axis=0) == [0, 1]).all(), spikes
    weights = layer.weights.get()
    assert np.abs(weights - np.eye(4)[[0, 3]]).max() > 1e-3, weights
    assert np.isfinite(weights).all() and layer.log_prior.get().max() <= 0
finally:
    layer.stop()
print("done")
"""


def test_a_layer_runs_in_a_users_own_network(tmp_path: Path) -> None:
    script = tmp_path / "user_script.py"
    script.write_text(textwrap.dedent(USER_SCRIPT).format(path=sys.path))
    finished = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("done\n")


@pytest.mark.lava
def test_lava_can_be_imported_after_others_have_used_processes() -> None:
    script = """
import multiprocessing
multiprocessing.set_start_method("fork")
import softhebb_spiking.processes
print(multiprocessing.get_start_method())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "fork\n", done.stderr

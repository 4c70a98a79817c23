"""The Lava Processes one by one: what they accept, how they are wired, what their parts compute."""

import dataclasses
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lava", reason="Lava is not installed")

from softhebb_spiking import _lava_compat
from softhebb_spiking.networks import SoftHebbNetwork
from softhebb_spiking.params import NetworkParams, Run
from softhebb_spiking.processes import (
    LateralInhibition,
    RateEncoder,
    SoftHebbLayer,
    SoftWTA,
    SpikeCounter,
    SynapseManager,
)
from softhebb_spiking.processes.lateral_inhibition.models import log_sum_exp, log_sum_of_messages
from softhebb_spiking.processes.presentation import (
    SpikeTable,
    StepRecorder,
    lava_steps,
    presentation_position,
)
from softhebb_spiking.processes.soft_wta.models import intensity_messages, spike_probabilities
from softhebb_spiking.processes.softhebb_layer.models import SoftHebbLayerModel

pytestmark = pytest.mark.lava

PARAMS = NetworkParams(n_features=3, n_units=2, n_steps=4, settle_steps=2)
WEIGHTS = np.full((2, 3), 0.5)


@pytest.fixture(autouse=True)
def quiet_root_logger() -> Iterator[None]:
    """Every Process adds a handler to the root logger; take them away again."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


CONSTRUCTORS: dict[str, Callable[..., object]] = {
    "RateEncoder": lambda **more: RateEncoder(params=PARAMS, **more),
    "SoftWTA": lambda **more: SoftWTA(params=PARAMS, **more),
    "LateralInhibition": lambda **more: LateralInhibition(params=PARAMS, **more),
    "SpikeCounter": lambda **more: SpikeCounter(params=PARAMS, n_samples=1, **more),
    "SynapseManager": lambda **more: SynapseManager(params=PARAMS, **more),
    "SoftHebbLayer": lambda **more: SoftHebbLayer(params=PARAMS, weights=WEIGHTS, **more),
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_an_unknown_keyword_is_rejected(name: str) -> None:
    CONSTRUCTORS[name](name="known")
    with pytest.raises(TypeError, match="temprature"):
        CONSTRUCTORS[name](temprature=0.1)


@pytest.mark.parametrize("cls", [RateEncoder, SoftWTA, LateralInhibition, SoftHebbLayer])
def test_arguments_go_by_name(cls: type) -> None:
    with pytest.raises(TypeError, match="positional"):
        cls(PARAMS)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("RateEncoder", {"samples": np.ones((2, 4))}, r"\(n_samples, 3\), got \(2, 4\)"),
        ("RateEncoder", {"samples": -np.ones((2, 3))}, "non-negative"),
        ("RateEncoder", {"seed": -1}, "seed"),
        ("SoftWTA", {"log_prior": np.zeros(3)}, r"log_prior must have shape \(2,\), got \(3,\)"),
        ("SoftWTA", {"log_prior": np.full(2, -np.inf)}, "log_prior must be finite"),
        ("SoftWTA", {"learning_rates": -0.1}, "learning_rates"),
        ("SoftHebbLayer", {"prior_learning_rates": np.ones((1, 1))}, "prior_learning_rates"),
    ],
)
def test_arguments_that_do_not_fit_are_rejected(
    name: str, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CONSTRUCTORS[name](**wrong)


def test_weights_of_another_shape_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"weights must have shape \(2, 3\), got \(3, 2\)"):
        SoftHebbLayer(params=PARAMS, weights=WEIGHTS.T)


def connected_ports(process: object) -> dict[str, set[str]]:
    """In-ports of a Process that hear anything, with the names of the ports they hear."""
    found = {}
    for port in process.in_ports:
        if port.in_connections:
            found[port.name] = {source.name for source in port.in_connections}
    return found


@pytest.mark.parametrize(
    ("inhibition", "pool_hears", "neurons_hear"),
    [
        ("feedback", {"s_in": {"s_out"}}, {"a_in", "pool_in"}),
        ("graded", {"s_in": {"s_out"}, "intensity_in": {"intensity_out"}}, {"a_in", "pool_in"}),
        (
            "exact",
            {"s_in": {"s_out"}, "intensity_in": {"intensity_out"}},
            {"a_in", "pool_in", "h_in"},
        ),
    ],
)
def test_pool_and_neurons_hear_only_what_the_mode_needs(
    inhibition: str, pool_hears: dict[str, set[str]], neurons_hear: set[str]
) -> None:
    params = dataclasses.replace(PARAMS, inhibition=inhibition)
    model = SoftHebbLayerModel(SoftHebbLayer(params=params, weights=WEIGHTS, learning_rates=0.1))
    # With feedback nobody but a population itself knows its drive, so nobody can normalise drives.
    assert connected_ports(model.pool) == pool_hears
    assert set(connected_ports(model.neurons)) == neurons_hear
    assert set(connected_ports(model.synapses)) == {"s_in", "s_in_bap", "s_in_y1", "s_in_y2"}


def test_a_frozen_layer_has_plain_synapses() -> None:
    model = SoftHebbLayerModel(SoftHebbLayer(params=PARAMS, weights=WEIGHTS))
    assert type(model.synapses).__name__ == "Dense"
    assert not hasattr(model, "manager")


def test_the_network_connects_encoder_layer_and_counter() -> None:
    run = Run(
        network=PARAMS,
        samples=np.ones((1, 3)) / np.sqrt(3),
        weights=WEIGHTS,
        log_prior=np.zeros(2),
        learning_rates=np.zeros(1),
        prior_learning_rates=np.zeros(1),
    )
    network = SoftHebbNetwork(run)
    assert connected_ports(network.layer) == {"s_in": {"s_out"}}
    assert connected_ports(network.counter) == {"s_in": {"s_out"}}


def test_a_presentation_ends_with_a_reset_step() -> None:
    positions = [
        presentation_position(step, PARAMS) for step in range(1, lava_steps(PARAMS, 2) + 1)
    ]
    assert positions == [(sample, step) for sample in range(2) for step in range(7)]


def test_spike_table_counts_repeated_rows() -> None:
    rows = np.array([[1, 0, 2], [0, 3, 1], [0, 3, 1], [0, 3, 0]])
    table = SpikeTable(rows, n_indices=3, n_steps=4)
    assert table.counts(0, 3).tolist() == [1, 2, 0]
    assert table.counts(1, 0).tolist() == [0, 0, 1]
    assert table.counts(0, 0).tolist() == [0, 0, 0]
    assert table.counts(7, 0).tolist() == [0, 0, 0]


def test_step_recorder_appends_and_copies(tmp_path: Path) -> None:
    recorder = StepRecorder(str(tmp_path), "drive")
    row = np.array([1.0, 2.0])
    for _ in range(2):
        recorder.append(row)
        row += 1.0
        recorder.flush()
    assert np.fromfile(tmp_path / "drive.bin").tolist() == [1.0, 2.0, 2.0, 3.0]
    silent = StepRecorder(None, "drive")
    silent.append(row)
    silent.flush()


@pytest.mark.parametrize("scale", [1.0, 50.0, 1000.0, 1e5])
def test_graded_messages_add_up_to_the_normaliser(scale: float) -> None:
    log_intensities = scale * np.random.default_rng(0).normal(size=100)
    messages = intensity_messages(log_intensities)
    assert (messages[1] >= 1.0).all()
    assert (messages[1] <= 2.0).all()
    # An absolute error of h is a relative error of rates; v/log 2 rounds at 1e-16 of its size.
    assert log_sum_of_messages(messages) == pytest.approx(
        log_sum_exp(log_intensities), abs=1e-14 * scale + 1e-13
    )


def test_spike_probabilities_saturate_without_overflow() -> None:
    with np.errstate(over="raise"):
        p = spike_probabilities(np.array([0.0, np.log(3.0), 1e5, -1e5]), 0.0, 8.0, 32)
    assert p.tolist() == pytest.approx([0.25, 0.75, 1.0, 0.0])


def test_lava_is_mended_without_a_trace() -> None:
    _lava_compat.require_lava()
    assert dataclasses.dataclass.__module__ == "dataclasses"
    _lava_compat.require_lava()


def test_an_import_that_fails_restores_dataclass(monkeypatch: pytest.MonkeyPatch) -> None:
    original = dataclasses.dataclass

    def fail(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="lava")

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.delitem(sys.modules, "lava.magma.compiler.var_model")
    with pytest.raises(ImportError, match="pip install") as caught:
        _lava_compat.require_lava()
    assert dataclasses.dataclass is original
    later = sys.version_info >= (3, 11)
    assert ("--ignore-requires-python lava-nc==0.10.0" in str(caught.value)) == later
    assert ('"softhebb-spiking[lava]"' in str(caught.value)) != later

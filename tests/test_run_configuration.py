"""Which models run where, with and without the compiler for the chip."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
from lava.utils import loihi

import softhebb_spiking.processes as processes
from softhebb_spiking import SpikingSoftHebb
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams, TwoFactorDecay
from softhebb_spiking.networks import LifCircuit, SoftHebbNetwork, run_configuration
from softhebb_spiking.networks.targets import (
    CHIP_PROCESSES,
    STOCK_PROCESSES,
    TARGETS,
    neuron_programs,
)

pytestmark = pytest.mark.lava

ROOT = Path(__file__).resolve().parent.parent
PROCESS_FOLDERS = {path.parent.name for path in (ROOT / "processes").glob("*/process.py")}


def camel(folder: str) -> str:
    special = {"soft_wta": "SoftWTA", "softhebb_layer": "SoftHebbLayer"}
    return special.get(folder) or "".join(part.capitalize() for part in folder.split("_"))


def neither_stock_nor_listed(names: set[str], page: str) -> set[str]:
    """Processes that would keep a network off the chip without anyone having said so."""
    listed = {name for name in CHIP_PROCESSES if CHIP_PROCESSES[name] != "neuron program"}
    listed |= {name for name in neuron_programs() if f"## {name}\n" in page}
    return names - set(STOCK_PROCESSES) - listed


def leaves(process: Any) -> set[str]:
    """Names of the Processes connected to one, and of those that composed ones consist of."""
    from lava.magma.compiler.compiler_graphs import find_processes

    return {type(item).__name__ for item in find_processes(process)}


def test_simulations_select_by_arithmetic() -> None:
    for target, tag in (("simulation-float", "floating_pt"), ("simulation-fixed", "fixed_pt")):
        config = run_configuration(target)
        assert type(config) is Loihi2SimCfg
        assert config.select_tag == tag


def test_unknown_target_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="simulation-float"):
        run_configuration("loihi3")


def test_without_the_compiler_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loihi, "is_installed", lambda: False)
    with pytest.raises(ImportError, match="lava-loihi") as caught:
        run_configuration("loihi2")
    message = str(caught.value)
    for name in (*neuron_programs(), "LIF", "docs/step_programs.md", "simulation-fixed"):
        assert name in message


def test_with_the_compiler_chip_models_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {name: type(f"Nc{name}Model", (), {}) for name in neuron_programs()}
    module = ModuleType("my_chip_models")
    module.CHIP_MODELS = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_chip_models", module)
    monkeypatch.setattr(loihi, "is_installed", lambda: True)
    config = run_configuration("loihi2", chip_models="my_chip_models")
    assert type(config) is Loihi2HwCfg
    assert config.exception_proc_model_map == {
        getattr(processes, name): model for name, model in models.items()
    }


@pytest.mark.parametrize("given", [None, {}, {"SoftWTA": object}])
def test_with_the_compiler_missing_models_are_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(loihi, "is_installed", lambda: True)
    if given is not None:
        module = ModuleType("half_done")
        module.CHIP_MODELS = given  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "half_done", module)
    with pytest.raises(ImportError, match=r"step_programs\.md") as caught:
        run_configuration("loihi2", chip_models="half_done")
    assert "LateralInhibition" in str(caught.value)
    if given:
        assert "no model for RateEncoder" in str(caught.value)


def test_every_process_of_the_package_is_stock_or_has_a_program() -> None:
    page = (ROOT / "docs" / "step_programs.md").read_text()
    names = {camel(folder) for folder in PROCESS_FOLDERS}
    assert set(CHIP_PROCESSES) == names
    assert set(processes.__all__) == names
    assert neither_stock_nor_listed(names, page) == set()
    assert neither_stock_nor_listed({"NewNeuron"}, page) == {"NewNeuron"}
    assert neither_stock_nor_listed({"SoftWTA"}, "") == {"SoftWTA"}


@pytest.mark.parametrize("learning", [None, "two_factor", "three_factor"])
def test_every_process_of_the_circuit_is_stock_or_has_a_program(learning: str | None) -> None:
    circuit = LifCircuitParams(
        n_features=4,
        n_units=2,
        population_size=1 if learning == "two_factor" else 3,
        total_rate=0.5,
        background_fan_in=8,
        n_background=16,
        largest_input=1.0,
    )
    run = CircuitRun(
        circuit=circuit,
        weights=np.full((2, 4), 0.5),
        samples=np.full((1, 4), 0.5),
        learning=learning,
        learning_rates=None if learning is None else np.ones(1),
        decay=TwoFactorDecay(),
    )
    page = (ROOT / "docs" / "step_programs.md").read_text()
    found = leaves(LifCircuit(run).excitatory)
    assert {"LIF", "Dense", "Sparse", "RingBuffer"} <= found
    assert neither_stock_nor_listed(found, page) == set()
    own = found - set(STOCK_PROCESSES)
    assert own == ({"Dendrite"} if learning == "three_factor" else set())


def test_every_process_of_the_network_is_stock_or_has_a_program() -> None:
    model = SpikingSoftHebb.from_weights(np.full((2, 4), 0.5), random_state=0)
    network = SoftHebbNetwork(model.make_run(np.full((1, 4), 0.5)))
    page = (ROOT / "docs" / "step_programs.md").read_text()
    found = leaves(network.encoder)
    assert "SoftHebbLayer" in found
    assert neither_stock_nor_listed(found, page) == set()


def test_targets_are_those_documented() -> None:
    for target in TARGETS:
        assert target in str(run_configuration.__doc__)

"""Plans for chips: totals counted by hand, and a case over each limit."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softhebb_spiking import SpikingSoftHebb
from softhebb_spiking.circuit import counting_thresholds
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.deployment.chips import CHIPS, load_chip
from softhebb_spiking.deployment.layout import circuit_layout, layer_layout
from softhebb_spiking.deployment.placement import PER_CORE, place
from softhebb_spiking.deployment.plan import Plan, plan
from softhebb_spiking.deployment.report import plan_as_dict, plan_as_text
from softhebb_spiking.deployment_commands import _resized
from softhebb_spiking.params import NetworkParams
from softhebb_spiking.recording import Recording


def layer(n_units: int, n_features: int = 784, **options: Any) -> Any:
    return partial(
        _resized, layer_layout, NetworkParams(n_features=n_features, n_units=n_units), **options
    )


def circuit(n_units: int, n_features: int = 784, **options: Any) -> Any:
    params = LifCircuitParams(n_features=n_features, n_units=n_units, population_size=32)
    return partial(_resized, circuit_layout, params, **options)


def only(found: Plan) -> str:
    """The one violation of a plan, as it is printed."""
    assert len(found.violations) == 1, [str(item) for item in found.violations]
    return str(found.violations[0])


@pytest.mark.parametrize(("n_units", "cores_of_units"), [(100, 1), (6400, 56)])
def test_programs_on_loihi2_by_hand(n_units: int, cores_of_units: int) -> None:
    """A neuron: 784 plastic synapses of 8 + 8 bits, one of 8 from the pool, 5 words of 32 bits.

    A core: 784 input axons of 64 + 16 bits, the pool's of 64, and 4 KB for the program.
    """
    found = plan(layer(n_units), "loihi2")
    neuron = 784 * 16 + 8 + 5 * 32
    core = 784 * (64 + 16) + 64 + 32768
    fit = (192 * 1024 * 8 - core) // neuron
    assert fit == 116
    assert cores_of_units == math.ceil(n_units / fit)
    fullest = math.ceil(n_units / cores_of_units)
    assert found.violations == []
    assert len(found.cores) == cores_of_units + 1
    assert found.n_chips == 1
    assert found.usage()["memory_bits_per_core"]["used"] == core + fullest * neuron
    assert found.usage()["neurons_per_core"]["used"] == fullest
    assert found.n_synapses == n_units * 785 + 1
    assert found.synapse_memory(learning=False) == (n_units * 785 + 1) * 8
    assert found.synapse_memory(learning=True) == (n_units * (784 * 16 + 8)) + 8


@pytest.mark.parametrize(("n_units", "cores", "chips"), [(100, 27, 1), (6400, 1688, 14)])
def test_circuit_on_loihi1_by_hand(n_units: int, cores: int, chips: int) -> None:
    """A neuron: 784 synapses of 8 bits, 64 of 8 + 10 from the background, one of 8 from each of
    the pool. A core: an axon of 64 bits from each input, source and pool neuron. 4096 output axons
    for the cores that a pool neuron reaches, and for the one of each excitatory neuron.
    """
    found = plan(circuit(n_units), "loihi1")
    n_pool = 8 + math.floor(2 * math.log2(1 + 32 * n_units))
    neuron = 784 * 8 + 64 * (8 + 10) + n_pool * 8
    header = (784 + 512 + n_pool) * 64
    fit = (2**20 - header) // neuron
    of_excitatory = math.ceil(32 * n_units / fit)
    pool_fit = min(n_pool, 4096 // of_excitatory)
    of_pool = math.ceil(n_pool / pool_fit)
    assert found.violations == []
    assert (len(found.cores), found.n_chips) == (of_excitatory + of_pool, chips)
    assert len(found.cores) == pytest.approx(cores, abs=1)
    fullest = math.ceil(32 * n_units / of_excitatory)
    used = found.usage()
    assert used["synapse_bits_per_core"]["used"] == header + fullest * neuron
    assert used["input_axons_per_core"]["used"] == 784 + 512 + n_pool
    assert used["output_axons_per_core"]["used"] == max(
        math.ceil(n_pool / of_pool) * of_excitatory, fullest * of_pool
    )


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("n_units", [100, 6400])
@pytest.mark.parametrize("make", [layer, circuit])
def test_no_core_is_too_full_where_nothing_is_said(chip: str, n_units: int, make: Any) -> None:
    found = plan(make(n_units, learning="none"), chip)
    limits = load_chip(chip)
    over = {
        name for core in found.cores for name in PER_CORE if core.used[name] > limits.limit(name)
    }
    said = {item.resource.replace(" ", "_") for item in found.violations}
    assert over <= said
    placed = sum(core.n_neurons for core in found.cores)
    layout = found.layout
    assert placed == sum(
        item.n_neurons for item in layout.populations.values() if not item.external
    )


def test_a_population_is_split_where_a_core_is_full_of_neurons() -> None:
    """4 features need little memory, so the number of neurons is what fills a core."""
    make = circuit(700, n_features=4)
    cores = place(make(), load_chip("loihi2"))
    assert max(core.n_neurons for core in cores) <= 8192
    assert sum(core.population == "excitatory" for core in cores) >= 3


def test_input_axons() -> None:
    found = plan(circuit(10, n_features=4000), "loihi1")
    said = only(found)
    n_pool = (
        8 + counting_thresholds(LifCircuitParams(n_features=1, n_units=10, population_size=32)).size
    )
    assert f"input axons per core {4000 + 512 + n_pool}, limit 4096" in said
    assert "split the fan-in over 2 relay populations" in said
    assert f"use at most {4096 - 512 - n_pool} features" in said
    fits = plan(circuit(10, n_features=4096 - 512 - n_pool), "loihi1")
    assert fits.violations == []


def test_memory_of_a_neuron() -> None:
    found = plan(layer(2, n_features=40_000), "loihi2")
    said = only(found)
    assert "memory bits per core" in said
    assert "limit 1572864" in said
    assert "split the fan-in over 3 relay populations" in said
    features = int(said.split("use at most ")[1].split()[0])
    assert plan(layer(2, n_features=features), "loihi2").violations == []
    assert plan(layer(2, n_features=features + 1), "loihi2").violations != []


def test_fewer_bits_are_offered_where_they_help() -> None:
    found = plan(layer(2, n_features=22_000, learning="none"), "loihi2")
    said = only(found)
    bits = int(said.split("; use ")[1].split()[0])
    fits = plan(layer(2, n_features=22_000, learning="none", weight_bits=bits), "loihi2")
    assert fits.violations == []
    over = plan(layer(2, n_features=22_000, learning="none", weight_bits=bits + 1), "loihi2")
    assert over.violations != []


def test_synapse_bits_of_a_neuron() -> None:
    """Loihi 1: 3500 features in 255 bits each would need more than 4096 axons' worth of memory."""
    said = [str(item) for item in plan(circuit(2, 3500, weight_bits=300), "loihi1").violations]
    assert any("synapse bits per core" in item for item in said)
    assert any("bits of a weight 300, limit 8; use 8 bits" in item for item in said)


def test_output_axons() -> None:
    found = plan(circuit(20_000), "loihi1", max_chips=10**6)
    said = only(found)
    assert "core of inhibitory" in said
    assert "output axons per core" in said
    units = int(said.split("use at most ")[1].split()[0])
    assert plan(circuit(units), "loihi1", max_chips=10**6).violations == []
    assert plan(circuit(units + 1), "loihi1", max_chips=10**6).violations != []


def test_chips() -> None:
    found = plan(circuit(6400), "loihi1", max_chips=2)
    said = only(found)
    assert f"Loihi 1 chips {found.n_chips}, limit 2" in said
    units = int(said.split("use at most ")[1].split()[0])
    assert plan(circuit(units), "loihi1", max_chips=2).violations == []
    assert plan(circuit(units + 1), "loihi1", max_chips=2).violations != []


def test_synapses_of_a_chip() -> None:
    found = plan(circuit(6400), "loihi2")
    least = math.ceil(max(len(found.cores) / 120, found.n_synapses / 120_000_000))
    assert least <= found.n_chips <= least + 1
    assert sum(map(len, found.chips)) == len(found.cores)
    assert sum(map(found.synapses_on, found.chips)) == found.n_synapses
    assert plan_as_dict(found)["per_chip"]["synapses_per_chip"]["used"] <= 120_000_000


@pytest.mark.parametrize(
    ("make", "chip", "message"),
    [
        (layer(10, learning="none"), "loihi1", "neuron programs 2, limit 0; use the circuit"),
        (layer(10), "loihi1", "factors of the learning rule 3, limit 2"),
        (circuit(10, learning="three_factor"), "loihi1", "graded spikes 1, limit 0"),
        (layer(10, weight_bits=9), "loihi2", "bits of a weight 9, limit 8; use 8 bits"),
        (layer(10, epoch=64), "loihi2", "learning epoch 64, limit 63; use 63 steps"),
    ],
)
def test_what_a_chip_cannot_do(make: Any, chip: str, message: str) -> None:
    assert any(message in str(item) for item in plan(make, chip).violations)


@pytest.mark.parametrize("learning", ["none", "two_factor"])
def test_what_loihi1_can_do(learning: str) -> None:
    params = LifCircuitParams(n_features=784, n_units=10, population_size=1)
    make = partial(_resized, circuit_layout, params, learning=learning)
    assert plan(make, "loihi1").violations == []


def test_two_factors_are_for_circuits_of_single_neurons() -> None:
    with pytest.raises(ValueError, match="population_size must be 1, got 32"):
        plan(circuit(10, learning="two_factor"), "loihi1")
    with pytest.raises(ValueError, match="learn by three factors"):
        plan(layer(10, learning="two_factor"), "loihi2")


def test_changes_that_do_not_help_are_not_offered() -> None:
    """A pool neuron reaches too many cores: fewer units help, fewer features do not."""
    said = only(plan(circuit(20_000), "loihi1", max_chips=10**6))
    for offered in said.split("; ")[1].split(", or "):
        words = offered.split()
        if "units" in offered:
            make = circuit(int(words[3]))
        elif "features" in offered:
            make = circuit(20_000, n_features=int(words[3]))
        elif "bits" in offered:
            make = circuit(20_000, weight_bits=int(words[1]))
        else:
            make = circuit(20_000, n_features=math.ceil(784 / int(words[4])))
        assert plan(make, "loihi1", max_chips=10**6).violations == []


def test_three_factor_circuit_shares_synapses() -> None:
    alone = plan(circuit(100), "loihi2")
    shared = plan(circuit(100, learning="three_factor"), "loihi2")
    assert alone.n_synapses - shared.n_synapses == pytest.approx(784 * 100 * 31, rel=0.02)
    assert len(shared.cores) < len(alone.cores)
    assert shared.violations == []


def test_unknown_chip_names_the_known() -> None:
    with pytest.raises(ValueError, match="'loihi1', 'loihi2'"):
        load_chip("loihi3")


def test_every_number_has_a_source() -> None:
    for key in CHIPS:
        chip = load_chip(key)
        figures = [
            figure
            for part in (chip.limits, chip.memory, chip.energy, chip.time)
            for figure in part.values()
        ]
        assert len(figures) >= 10
        for figure in figures:
            assert figure.value > 0
            assert len(figure.source) > 10
            assert figure.certainty in ("published", "second-hand", "assumed")


def recording() -> Recording:
    """Two samples of 7 steps: three input spikes, and four output spikes in three moments."""
    rng = np.random.default_rng(0)
    weights = rng.random((3, 5))
    model = SpikingSoftHebb.from_weights(weights, n_steps=4, settle_steps=3, random_state=0)
    return model.record(
        rng.random((2, 5)),
        input_spikes=np.array([[0, 1, 2], [0, 4, 0], [1, 6, 4]]),
        output_spikes=np.array([[0, 2, 1], [0, 2, 1], [0, 5, 0], [1, 3, 2]]),
    )


def test_activity_of_programs_by_hand() -> None:
    network = NetworkParams(n_features=5, n_units=3, n_steps=4, settle_steps=3)
    found = plan(partial(_resized, layer_layout, network), "loihi2", recording=recording())
    activity = found.activity
    assert activity is not None
    assert activity.spikes == {"inputs": 1.5, "units": 2.0, "pool": 8.0}
    assert activity.synaptic_operations == {
        "inputs → units": 1.5 * 3,
        "units → pool": 2.0,
        "pool → units": 8.0 * 3,  # with the reset step
    }
    assert activity.weight_updates == 2.0 * 5
    assert found.energy_nj() is None  # nobody published any for this chip


def test_activity_and_energy_of_a_circuit_by_hand() -> None:
    params = LifCircuitParams(n_features=5, n_units=3, population_size=4, n_steps=4, settle_steps=3)
    make = partial(_resized, circuit_layout, params)
    found = plan(make, "loihi1", recording=recording(), circuit=params)
    activity = found.activity
    assert activity is not None
    # Thresholds 1, 1, 2, 3, ...: a moment of two spikes makes 3 neurons fire, one of one spike 2.
    assert counting_thresholds(params)[:4].tolist() == [1, 1, 2, 3]
    pool = (3 + 2 + 2) / 2 + 8 * 7
    assert activity.spikes["inhibitory"] == pool
    assert activity.spikes["excitatory"] == 2.0
    background = 7 * 512 * (1 - math.exp(-0.1)) / 64
    assert activity.spikes["background"] == pytest.approx(background)
    n_pool = 8 + counting_thresholds(params).size
    expected = 1.5 * (12 + n_pool) + background * 12 * 64 / 512 + 2.0 * n_pool + pool * 12
    assert sum(activity.synaptic_operations.values()) == pytest.approx(expected)
    energy = found.energy_nj()
    assert energy is not None
    assert energy["synaptic_operation"] == pytest.approx(expected * 23.6e-3)
    assert energy["neuron_update"] == pytest.approx((12 + n_pool) * 7 * 81e-3)
    with pytest.raises(ValueError, match="circuit="):
        plan(make, "loihi1", recording=recording())


@pytest.mark.parametrize("chip", CHIPS)
def test_reports(chip: str, tmp_path: Path) -> None:
    from softhebb_spiking.plots import core_map

    found = plan(circuit(6400, learning="none"), chip)
    text, data = plan_as_text(found), json.loads(json.dumps(plan_as_dict(found)))
    assert data["fits"]
    assert data["cores"] == len(found.cores)
    assert f"{len(found.cores)} cores" in text
    assert "not measured" in text
    assert all(item["source"] for item in data["sources"])
    figure = core_map(found).figure
    figure.savefig(tmp_path / "map.png")
    squares = sum(len(axes.patches) for axes in figure.axes)
    assert squares == min(found.n_chips, 16) * int(found.chip.limit("cores_per_chip"))

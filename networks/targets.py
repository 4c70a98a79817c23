"""Which models of the Processes run: in simulation, or on a chip."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Any

from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
from lava.utils import loihi

from softhebb_spiking.validation import check_choice

TARGETS = ("simulation-float", "simulation-fixed", "loihi2")

# What each Process of the package needs on a chip. Those that need a program of their own have the
# integers of one step in docs/step_programs.md; the others run on the host, or consist of others.
CHIP_PROCESSES = MappingProxyType(
    {
        "RateEncoder": "neuron program",
        "SoftWTA": "neuron program",
        "LateralInhibition": "neuron program",
        "Dendrite": "neuron program",
        "PlasticDense": "learning rule",
        "SpikeCounter": "host",
        "CountRecorder": "host",
        "SynapseManager": "host",
        "SoftHebbLayer": "composed",
    }
)


def neuron_programs() -> tuple[str, ...]:
    """Return the names of the Processes that need a neuron program of their own."""
    return tuple(name for name, need in CHIP_PROCESSES.items() if need == "neuron program")


def run_configuration(target: str, *, chip_models: str = "softhebb_chip_models") -> Any:
    """Return Lava's run configuration for a target.

    Parameters
    ----------
    target : {"simulation-float", "simulation-fixed", "loihi2"}
        Where the network is to run.
    chip_models : str
        For "loihi2": name of a module with a dict `CHIP_MODELS` of models for the chip, by the
        name of their Process. It is imported only if Intel's compiler back end is installed.

    Returns
    -------
    RunConfig
        For the `run_cfg` of a Process's `run`.

    Raises
    ------
    ImportError
        If "loihi2" is asked for without the compiler back end or without chip models; it says
        what is missing, and what would run.
    ValueError
        If the target is unknown.
    """
    check_choice("target", target, TARGETS)
    if target == "simulation-float":
        return Loihi2SimCfg(select_tag="floating_pt")
    if target == "simulation-fixed":
        return Loihi2SimCfg(select_tag="fixed_pt")
    if not loihi.is_installed():
        raise ImportError(
            "Lava's compiler for Loihi 2 (lava-loihi, for members of Intel's research community) "
            f"is not installed. With it, stock Processes ({', '.join(STOCK_PROCESSES)}) run from "
            f"Intel's library, and {', '.join(neuron_programs())} from programs that follow "
            'docs/step_programs.md. Without it, target="simulation-fixed" runs the same integers.'
        )
    return Loihi2HwCfg(select_sub_proc_model=True, exception_proc_model_map=_loaded(chip_models))


# Of which the circuit of stock Processes consists, and the synapses of the others.
STOCK_PROCESSES = ("LIF", "Dense", "Sparse", "LearningDense", "RingBuffer")


def _loaded(module: str) -> dict[Any, Any]:
    """Return the chip model of each Process that needs one."""
    import softhebb_spiking.processes as processes

    try:
        given = importlib.import_module(module).CHIP_MODELS
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"The compiler for Loihi 2 is installed, but no module {module!r} with a dict "
            f"CHIP_MODELS was found ({error}). Write models for {', '.join(neuron_programs())} "
            "after docs/step_programs.md, and name their module in chip_models=."
        ) from error
    unknown = sorted(set(given) - set(CHIP_PROCESSES))
    if unknown:
        raise ImportError(
            f"CHIP_MODELS of {module!r} has models for {', '.join(unknown)}, which are no "
            f"Processes of this package; it has {', '.join(CHIP_PROCESSES)}."
        )
    missing = [name for name in neuron_programs() if name not in given]
    if missing:
        raise ImportError(
            f"CHIP_MODELS of {module!r} has no model for {', '.join(missing)}; it has "
            f"{', '.join(sorted(given)) or 'none'}. Write them after docs/step_programs.md."
        )
    return {getattr(processes, name): model for name, model in given.items()}

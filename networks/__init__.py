"""Networks of the package's Lava Processes; Lava is imported with the first of them."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softhebb_spiking.networks.lif_circuit import LifCircuit
    from softhebb_spiking.networks.softhebb_network import SoftHebbNetwork
    from softhebb_spiking.networks.targets import run_configuration

__all__ = ["LifCircuit", "SoftHebbNetwork", "run_configuration"]

_MODULES = {
    "LifCircuit": "lif_circuit",
    "SoftHebbNetwork": "softhebb_network",
    "run_configuration": "targets",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from softhebb_spiking._lava_compat import require_lava

        require_lava()
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Networks of the package's Lava Processes; Lava is imported with the first of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softhebb_spiking.networks.softhebb_network import SoftHebbNetwork

__all__ = ["SoftHebbNetwork"]


def __getattr__(name: str) -> Any:
    if name == "SoftHebbNetwork":
        from softhebb_spiking.networks.softhebb_network import SoftHebbNetwork

        return SoftHebbNetwork
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

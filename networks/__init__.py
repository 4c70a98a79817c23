"""Networks of the package's Lava Processes."""

from softhebb_spiking.networks.softhebb_network import SoftHebbNetwork

__all__ = ["SoftHebbNetwork"]

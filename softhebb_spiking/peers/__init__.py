"""The event rung beside what one would run instead: on the same work, in one run."""

from softhebb_spiking.peers.report import write_report
from softhebb_spiking.peers.run import PEERS, measure

__all__ = ["PEERS", "measure", "write_report"]

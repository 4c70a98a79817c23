"""The ladder: evidence that spikes do SoftHebb's Bayesian updates, on every rung."""

from softhebb_spiking.verification.check import Check
from softhebb_spiking.verification.ladder import RUNGS, Verification, verify

__all__ = ["RUNGS", "Check", "Verification", "verify"]

"""Sweeps: one estimator over a grid of parameters and seeds, on one machine or many."""

from softhebb_spiking.sweep.run import run_sweep
from softhebb_spiking.sweep.spec import Sweep, Task, read_spec

__all__ = ["Sweep", "Task", "read_spec", "run_sweep"]

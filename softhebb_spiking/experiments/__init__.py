"""What the paper claims of SoftHebb, tried again on rates and in spikes.

Each module here is one experiment: `run(trial)` returns plain data of one seed, `claims(results,
rungs)` judges the data of all seeds, `figures(results, rungs)` draws them.
"""

from softhebb_spiking.experiments.run import (
    ALL,
    DEFAULT_RUNGS,
    EXPERIMENTS,
    Findings,
    Plan,
    experiments_named,
    run_experiments,
)
from softhebb_spiking.experiments.statistics import Claim, Interval, Measure

__all__ = [
    "ALL",
    "DEFAULT_RUNGS",
    "EXPERIMENTS",
    "Claim",
    "Findings",
    "Interval",
    "Measure",
    "Plan",
    "experiments_named",
    "run_experiments",
]

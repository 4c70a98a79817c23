"""SoftHebb in spikes: a soft winner-take-all network that learns by Bayes' rule, on any rung."""

from softhebb_spiking.checkpoint import Checkpoint
from softhebb_spiking.data import Dataset, load_dataset
from softhebb_spiking.evaluation import LinearReadout, UnitLabelClassifier
from softhebb_spiking.fixed_point import FixedPointOverflow
from softhebb_spiking.params import FixedPointParams, NetworkParams
from softhebb_spiking.rate import SoftHebb
from softhebb_spiking.recording import Recording
from softhebb_spiking.serialization import load_model
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.training import Progress

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Dataset",
    "FixedPointOverflow",
    "FixedPointParams",
    "LinearReadout",
    "NetworkParams",
    "Progress",
    "Recording",
    "SoftHebb",
    "SpikingSoftHebb",
    "UnitLabelClassifier",
    "__version__",
    "load_dataset",
    "load_model",
]

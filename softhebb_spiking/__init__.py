"""SoftHebb in spikes: a soft winner-take-all network that learns by Bayes' rule, on any rung.

Names are imported when they are first asked for, so that importing the package costs next to
nothing, whatever is installed.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULE_OF = MappingProxyType(
    {
        "Checkpoint": "checkpoint",
        "Dataset": "data",
        "FixedPointOverflow": "fixed_point",
        "FixedPointParams": "params",
        "LinearReadout": "evaluation",
        "NetworkParams": "params",
        "Progress": "training",
        "Recording": "recording",
        "SoftHebb": "rate",
        "SpikingSoftHebb": "spiking",
        "UnitLabelClassifier": "evaluation",
        "load_dataset": "data",
        "load_model": "serialization",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

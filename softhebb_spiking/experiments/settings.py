"""How large the experiments are, and the parameters of the networks in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

HARD_TEMPERATURE = 1e-6  # one unit takes all, unless two drives are equal to five digits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes and parameters, the same in all experiments on a data set.

    Attributes
    ----------
    n_units : int
        Units of a layer, and hidden units of the network of back-propagation.
    n_units_readout : int
        Of the layer in the comparison of soft and hard by a linear readout.
    temperature, learning_rate : float
        Of the rate rung, and of the spiking rungs unless `spiking` says otherwise.
    spiking : mapping
        Parameters of spiking networks.
    lone_inhibition : mapping
        What changes of them with `exact` inhibition, for the comparison of temperatures: no other
        follows drives that differ by hundreds of nats.
    n_train : int
        Training samples.
    n_validation : int
        Training samples that are kept from back-propagation to choose its learning rate.
    n_test : int
        Test samples.
    n_attacked, n_black_box : int
        Test samples that are attacked with gradients, and without.
    attack_steps, attack_restarts, black_box_queries : int
        Effort of attacks.
    eps_linf, eps_l2 : tuple of float
        Budgets of attacks, pixels from 0 to 1.
    sample_counts : tuple of int
        Samples seen at the points of a learning curve; beyond `n_train`, in further passes.
    noise_sigmas : tuple of float
        Standard deviations of noise on pixels from 0 to 1.
    temperatures : tuple of float
        From soft to hard.
    n_pairs : int
        Pairs of units that are interpolated.
    backprop_rates : tuple of float
        Learning rates that back-propagation may choose from.
    """

    n_units: int
    n_units_readout: int
    temperature: float
    learning_rate: float
    spiking: Mapping[str, Any]
    lone_inhibition: Mapping[str, Any]
    n_train: int
    n_validation: int
    n_test: int
    n_attacked: int
    n_black_box: int
    attack_steps: int
    attack_restarts: int
    black_box_queries: int
    eps_linf: tuple[float, ...]
    eps_l2: tuple[float, ...]
    sample_counts: tuple[int, ...]
    noise_sigmas: tuple[float, ...]
    temperatures: tuple[float, ...]
    n_pairs: int
    backprop_rates: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(
            replace(self, spiking=dict(self.spiking), lone_inhibition=dict(self.lone_inhibition))
        )


_IMAGES = Settings(
    n_units=400,
    n_units_readout=2000,
    temperature=0.015,
    learning_rate=0.4,
    spiking=MappingProxyType(
        {
            "learning_rate": 0.2,
            "max_probability": 0.5,
            "psp_tau_ms": 20.0,
            "settle_steps": 20,
            "n_steps": 15,
        }
    ),
    lone_inhibition=MappingProxyType({"inhibition": "exact", "learning_rate": 0.4}),
    n_train=60_000,
    n_validation=5_000,
    n_test=10_000,
    n_attacked=150,
    n_black_box=50,
    attack_steps=40,
    attack_restarts=3,
    black_box_queries=500,
    eps_linf=tuple(n / 255 for n in (8, 16, 32, 64, 96, 128)),
    eps_l2=(64 / 255, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    sample_counts=(100, 300, 1_000, 3_000, 10_000, 30_000, 60_000, 120_000),
    noise_sigmas=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    temperatures=(HARD_TEMPERATURE, 0.002, 0.005, 0.015, 0.03, 0.06),
    n_pairs=45,
    backprop_rates=(1e-3, 3e-3),
)

# 64 pixels give a noisy drive: more input spikes, slower PSPs, neurons to spare.
_DIGITS = replace(
    _IMAGES,
    n_units=50,
    n_units_readout=100,
    temperature=0.02,
    learning_rate=0.2,
    spiking=MappingProxyType(
        {
            "learning_rate": 0.1,
            "max_probability": 0.5,
            "psp_tau_ms": 20.0,
            "settle_steps": 40,
            "n_steps": 50,
            "population_size": 128,
        }
    ),
    lone_inhibition=MappingProxyType({"inhibition": "exact"}),
    n_train=1437,
    n_validation=200,
    n_test=360,
    sample_counts=(30, 100, 300, 1_000, 1437, 2_874),
    temperatures=(HARD_TEMPERATURE, 0.005, 0.01, 0.02, 0.04, 0.08),
)

_QUICK = {
    "n_attacked": 40,
    "n_black_box": 10,
    "attack_restarts": 1,
    "black_box_queries": 50,
    "noise_sigmas": (0.0, 0.2, 0.5, 1.0),
    "n_pairs": 10,
    "backprop_rates": (3e-3,),
}
_QUICK_OF = {
    "digits": {
        "n_units": 30,
        "n_units_readout": 40,
        "sample_counts": (100, 400, 1437),
        "temperatures": (HARD_TEMPERATURE, 0.02, 0.08),
        "eps_linf": (16 / 255, 64 / 255, 128 / 255),
        "eps_l2": (64 / 255, 1.0, 2.0),
    },
    "mnist": {
        "n_units": 100,
        "n_units_readout": 200,
        "n_train": 6_000,
        "n_validation": 1_000,
        "n_test": 1_000,
        "sample_counts": (100, 1_000, 6_000),
        "temperatures": (HARD_TEMPERATURE, 0.015, 0.06),
        "eps_linf": (16 / 255, 64 / 255, 128 / 255),
        "eps_l2": (64 / 255, 1.5, 4.0),
    },
}


def settings_of(dataset: str, *, quick: bool = False) -> Settings:
    """Return the settings of a data set.

    Parameters
    ----------
    dataset : {"digits", "mnist", "fashion-mnist"}
        The data set; images of 28 × 28 pixels share one setting.
    quick : bool
        Smaller everywhere: seconds instead of minutes.
    """
    settings = _DIGITS if dataset == "digits" else _IMAGES
    if not quick:
        return settings
    small: dict[str, Any] = _QUICK | _QUICK_OF["digits" if dataset == "digits" else "mnist"]
    return replace(settings, **small)

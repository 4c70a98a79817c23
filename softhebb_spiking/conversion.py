"""What becomes of a model of floats in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.fixed_point import LOG_PRIOR, OCTAVES_PER_NAT
from softhebb_spiking.validation import FloatArray


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What becomes of a model of floats in integers; prints as lines.

    Attributes
    ----------
    fixed : FixedNetwork
        The integers.
    learning_rate : float
        η asked for.
    effective_learning_rate : float
        η that the doses of the integers amount to.
    clipped_weights, clipped_log_prior : int
        Numbers that did not fit.
    largest_weight : float
        The weight that needs the most room.
    weight_error : float
        Root mean square of what rounding and clipping did to the weights.
    norms : tuple of float
        Smallest and largest norm of the integer weights.
    """

    fixed: FixedNetwork
    learning_rate: float
    effective_learning_rate: float
    clipped_weights: int
    clipped_log_prior: int
    largest_weight: float
    weight_error: float
    norms: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        learning = self.fixed.learning
        return {
            "weight_format": str(self.fixed.weight),
            "log_prior_format": str(LOG_PRIOR),
            "trace_format": str(self.fixed.trace),
            "clipped_weights": self.clipped_weights,
            "clipped_log_prior": self.clipped_log_prior,
            "largest_weight": self.largest_weight,
            "weight_error_rms": self.weight_error,
            "smallest_norm": self.norms[0],
            "largest_norm": self.norms[1],
            "rule": learning.rule,
            "learning_epoch_steps": learning.epoch,
            "update_size": learning.step,
            "learning_rate": self.learning_rate,
            "effective_learning_rate": self.effective_learning_rate,
            "equilibrium_norm": learning.equilibrium_norm,
        }

    def __str__(self) -> str:
        learning = self.fixed.learning
        return "\n".join(
            [
                f"weights: {self.fixed.weight}; {self.clipped_weights} clipped, the largest is "
                f"{self.largest_weight:.4g}; rms error {self.weight_error:.2g}; norms "
                f"{self.norms[0]:.4f} to {self.norms[1]:.4f}",
                f"log prior: {LOG_PRIOR} octaves; {self.clipped_log_prior} clipped",
                f"traces: {self.fixed.trace}",
                f"rule: dw = {learning.rule}, every {learning.epoch} steps",
                f"update: η' = {learning.step:.4g}; η = {self.effective_learning_rate:.6g} where "
                f"{self.learning_rate:.6g} was asked for; norm at equilibrium "
                f"{learning.equilibrium_norm:.4f}",
            ]
        )


def conversion_report(
    fixed: FixedNetwork, weights: FloatArray, log_prior: FloatArray, learning_rate: float
) -> ConversionReport:
    """Return what becomes of weights and log prior in integers; clipping is also warned of.

    Parameters
    ----------
    fixed : FixedNetwork
        The integers.
    weights : ndarray of shape (n_units, n_features)
        Weights.
    log_prior : ndarray of shape (n_units,)
        Log prior, nats.
    learning_rate : float
        η.
    """
    held = fixed.weights_as_float(fixed.weights(weights))
    held_prior = fixed.log_prior_as_float(fixed.log_prior(log_prior))
    norms = np.linalg.norm(held, axis=1)
    half_units = (
        math.ldexp(0.5, fixed.weight.exponent),
        math.ldexp(0.5, LOG_PRIOR.exponent) / OCTAVES_PER_NAT,
    )
    clipped = [
        int((np.abs(one - other) > half * (1.0 + 1e-9)).sum())
        for one, other, half in zip(
            (weights, log_prior), (held, held_prior), half_units, strict=True
        )
    ]
    return ConversionReport(
        fixed=fixed,
        learning_rate=learning_rate,
        effective_learning_rate=fixed.effective_learning_rate(learning_rate),
        clipped_weights=clipped[0],
        clipped_log_prior=clipped[1],
        largest_weight=float(weights.flat[np.abs(weights).argmax()]),
        weight_error=float(np.sqrt(((held - weights) ** 2).mean())),
        norms=(float(norms.min()), float(norms.max())),
    )

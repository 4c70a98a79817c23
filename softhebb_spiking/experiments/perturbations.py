"""Faults of spiking networks: spikes lost and late, neurons and populations dead, synapses stuck.

Pure functions of spikes, weights and a generator; `softhebb_spiking.experiments.noise` applies
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softhebb_spiking.validation import FloatArray, IntArray


def drop_spikes(spikes: IntArray, share: float, generator: np.random.Generator) -> IntArray:
    """Return the spikes that are left when each is lost with probability `share`."""
    return spikes[generator.random(len(spikes)) >= share]


def jitter_spikes(
    spikes: IntArray, sigma_steps: float, n_steps: int, generator: np.random.Generator
) -> IntArray:
    """Return spikes moved in time by Gaussian noise, rounded to steps.

    Spikes that would leave the presentation are reflected at its ends; of two spikes of an input
    in one step one is lost, as a neuron spikes once in a step.

    Parameters
    ----------
    spikes : ndarray of shape (n_spikes, 3)
        Rows (sample, step, index).
    sigma_steps : float
        Standard deviation of the noise, steps.
    n_steps : int
        Steps of a presentation.
    generator : Generator
        Where noise comes from.

    Returns
    -------
    ndarray of shape (n_left, 3)
        Sorted.
    """
    moved = spikes.copy()
    shift = np.rint(sigma_steps * generator.standard_normal(len(spikes))).astype(np.int64)
    folded = (spikes[:, 1] + shift) % (2 * n_steps)
    moved[:, 1] = np.where(folded < n_steps, folded, 2 * n_steps - 1 - folded)
    return np.unique(moved, axis=0)


def live_neurons(
    n_units: int, population_size: int, share_dead: float, generator: np.random.Generator
) -> IntArray:
    """Return how many neurons of each population are left when a share of all of them dies."""
    n_dead = round(share_dead * n_units * population_size)
    dead = generator.permutation(n_units * population_size)[:n_dead] // population_size
    return population_size - np.bincount(dead, minlength=n_units)


def log_prior_of_live(log_prior: FloatArray, n_live: IntArray, population_size: int) -> FloatArray:
    """Return the log prior of a layer of whole populations that fires as this one does.

    M_k neurons of M fire M_k/M times as much as M of them, which is what log M_k/M added to the
    bias does, as long as no population has to fire with more than all its neurons. A population
    without neurons gets the share of half a neuron.
    """
    return np.asarray(log_prior + np.log(np.maximum(n_live, 0.5) / population_size))


def stick_synapses(weights: FloatArray, share: float, generator: np.random.Generator) -> FloatArray:
    """Return weights of which a share is stuck, half of it at 0 and half at the largest weight."""
    stuck = weights.copy()
    lot = generator.random(weights.shape)
    stuck[lot < share] = weights.max()
    stuck[lot < 0.5 * share] = 0.0
    return stuck


def surviving_units(n_units: int, share_dead: float, generator: np.random.Generator) -> IntArray:
    """Return the units that are left when a share of them dies, at least one."""
    n_left = max(1, n_units - round(share_dead * n_units))
    return np.sort(generator.permutation(n_units)[:n_left])


def layer_of(layer: Any, weights: FloatArray, log_prior: FloatArray) -> Any:
    """Return an estimator with the parameters of `layer` and other weights and priors."""
    params = layer.get_params() | {"n_units": len(weights)}
    return type(layer).from_weights(weights, log_prior, **params)

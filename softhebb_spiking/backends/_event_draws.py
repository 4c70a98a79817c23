"""The output spikes of one step, drawn with work that follows spikes and not units.

Neuron m of population k fires with probability ρ_k = (r/M) exp(x_k − h), x_k = u_k/τ + b_k, and n_k
of them fire. Instead of one draw for each neuron, candidates are drawn for the whole layer: their
number is a Poisson variate of mean M C Σ ρ_k, each belongs to population k in proportion to ρ_k,
and is kept with probability λ_k / (C ρ_k), λ_k = −log(1 − ρ_k). What is kept of a neuron is then
Poisson of mean λ_k, and a neuron fires if it is kept at least once: with probability
1 − exp(−λ_k) = ρ_k, independent of all others [1]_. C = −log(1 − θ)/θ bounds λ/ρ for ρ ≤ θ; a
population above θ is drawn alone, from the binomial law.

References
----------
.. [1] Lewis, Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._compiled import exp_nonpositive, inlined_kernel, kernel, padded
from softhebb_spiking.philox import POPULATION_STREAM, draw_blocks, philox_4x32
from softhebb_spiking.validation import FloatArray, IntArray

BLOCK_UNITS = 64
# Blocks of random words: the candidates of a step, their numbers in four steps (and further parts
# of a large number), populations that are drawn alone.
_FIRST_CANDIDATE, _NUMBERS, _FIRST_ALONE = 0, 2**30, 2**31
_CANDIDATES_AT_ONCE = 64
_LARGEST_MEAN = 32.0
_LARGEST_EXPONENT = 80.0
_LARGEST_LOG_INTENSITY = 2**30
_WORD = 2.0**-32


class Spikes(NamedTuple):
    """The populations that fire in one step, and how many spikes each has."""

    n_events: IntArray  # of length 1
    units: IntArray
    counts: IntArray
    count_of_unit: IntArray  # scratch, zero between steps


def new_spikes(n_units: int) -> Spikes:
    """Return a step without spikes."""
    return Spikes(
        n_events=padded(1, np.int64),
        units=padded(n_units, np.int64),
        counts=padded(n_units, np.int64),
        count_of_unit=padded(n_units, np.int64),
    )


class Intensities(NamedTuple):
    """exp(x_k − m) in blocks of units, with the largest exponent m and the sum of each block."""

    relative: FloatArray  # in the precision of the weights
    largest: FloatArray
    total: FloatArray
    rate: FloatArray  # the largest ρ of each block
    expected: FloatArray  # Σ ρ of each block
    running: FloatArray  # Σ ρ of the units of a block so far, where it was asked for
    has_running: NDArray[np.bool_]
    running_blocks: FloatArray  # Σ ρ of the blocks so far
    numbers: NDArray[np.int32]  # 0, 1, … of candidates
    words: NDArray[np.uint32]


def new_intensities(n_units: int, dtype: Any) -> Intensities:
    """Return scratch for so many units."""
    n_blocks = -(-n_units // BLOCK_UNITS)
    largest, total, rate, expected, running_blocks = (
        padded(n_blocks, np.float64) for _ in range(5)
    )
    return Intensities(
        relative=padded(n_units, dtype),
        largest=largest,
        total=total,
        rate=rate,
        expected=expected,
        running=padded(n_units, np.float64),
        has_running=padded(n_blocks, np.bool_),
        running_blocks=running_blocks,
        numbers=np.arange(_CANDIDATES_AT_ONCE, dtype=np.int32),
        words=padded(4 * _CANDIDATES_AT_ONCE, np.uint32),
    )


@kernel(fastmath={"contract"})
def find_intensities(concentration, u, bias, first, last, intensities):  # type: ignore[no-untyped-def]
    """Fill the blocks of units first … last − 1; `first` starts a block."""
    for start in range(first, last, BLOCK_UNITS):
        stop = min(start + BLOCK_UNITS, last)
        # Compilers make vectors only of loops from 0 on.
        u_of, bias_of = u[start:stop], bias[start:stop]
        relative = intensities.relative[start:stop]
        # They make vectors of a maximum of integers, and to within 1 is close enough.
        largest = np.int32(-_LARGEST_LOG_INTENSITY)
        for k in range(relative.size):
            x = concentration * u_of[k] + bias_of[k]
            relative[k] = x
            whole = np.int32(x)
            largest = whole if whole > largest else largest
        scale = relative.dtype.type(largest + 1)
        for k in range(relative.size):
            relative[k] = exp_nonpositive(relative[k] - scale)
        block = start // BLOCK_UNITS
        intensities.largest[block] = scale
        intensities.total[block] = _sum(relative)


@kernel(fastmath={"reassoc", "nsz"})
def _sum(values):  # type: ignore[no-untyped-def]
    """Return a sum in lanes, in an order that the compiler chose once."""
    total = values.dtype.type(0.0)
    for k in range(values.size):
        total += values[k]
    return total


@kernel()
def log_normalizer(intensities):  # type: ignore[no-untyped-def]
    """Return log Σ_k exp(x_k)."""
    largest = intensities.largest[0]
    for block in range(1, intensities.largest.size):
        largest = max(largest, intensities.largest[block])
    total = 0.0
    for block in range(intensities.total.size):
        total += intensities.total[block] * math.exp(intensities.largest[block] - largest)
    return largest + math.log(total)


def candidate_surplus(threshold: float) -> float:
    """Return C = −log(1 − θ)/θ."""
    return -math.log1p(-threshold) / threshold


@kernel()
def draw_number(mean, seed, sample, step):  # type: ignore[no-untyped-def]
    """Return a Poisson variate, for the candidates of a step."""
    words = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step >> 2, _NUMBERS)
    number = poisson_quantile(words[step & 3], min(mean, _LARGEST_MEAN))
    part = 0
    while mean > _LARGEST_MEAN:
        mean -= _LARGEST_MEAN
        part += 1
        word = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step, _NUMBERS + part)[0]
        number += poisson_quantile(word, min(mean, _LARGEST_MEAN))
    return number


@kernel()
def draw_four_numbers(mean, seed, sample, step, numbers):  # type: ignore[no-untyped-def]
    """Fill in what `draw_number` returns for four steps; `step` is the first, a multiple of 4."""
    words = philox_4x32(np.uint64(seed), POPULATION_STREAM, sample, step >> 2, _NUMBERS)
    none = math.exp(-mean)
    for lane in range(4):
        if mean > _LARGEST_MEAN:
            numbers[lane] = draw_number(mean, seed, sample, step + lane)
        else:
            few = _uniform(words[lane]) <= none
            numbers[lane] = 0 if few else poisson_quantile(words[lane], mean)


@kernel()
def poisson_quantile(word, mean):  # type: ignore[no-untyped-def]
    """Return the Poisson quantile at (word + ½) / 2³², by summing its probabilities.

    Parameters
    ----------
    word : uint64
        Uniform in [0, 2³²).
    mean : float
        At most some tens, for exp(−mean) must be a float.

    Returns
    -------
    int
        A Poisson variate if `word` is uniform.
    """
    uniform = _uniform(word)
    probability = math.exp(-mean)
    cumulative = probability
    k = 0
    while cumulative < uniform and k < 200:
        k += 1
        probability *= mean / k
        cumulative += probability
    return k


@kernel()
def set_rates(intensities, log_rate):  # type: ignore[no-untyped-def]
    """Set the largest ρ and the expected spikes of a neuron of each block."""
    for block in range(intensities.total.size):
        exponent = min(log_rate + intensities.largest[block], _LARGEST_EXPONENT)
        intensities.rate[block] = math.exp(exponent)
        intensities.expected[block] = intensities.rate[block] * intensities.total[block]
        intensities.has_running[block] = False


@kernel()
def draw_alone(  # type: ignore[no-untyped-def]
    intensities, population_size, threshold, seed, sample, step, spikes
):
    """Draw the populations with ρ above the threshold and take them out; return Σ ρ of the rest."""
    n_units = intensities.relative.size
    for block in range(intensities.total.size):
        rate = intensities.rate[block]
        if rate > threshold:
            start, stop = block * BLOCK_UNITS, min((block + 1) * BLOCK_UNITS, n_units)
            for k in range(start, stop):
                rho = rate * intensities.relative[k]
                if rho >= 1.0:
                    add_spikes(spikes, k, population_size)
                elif rho > threshold:
                    word = philox_4x32(
                        np.uint64(seed), POPULATION_STREAM, sample, step, _FIRST_ALONE + k
                    )[0]
                    add_spikes(spikes, k, binomial_quantile(word, population_size, rho))
                if rho > threshold:
                    intensities.relative[k] = 0.0
            intensities.expected[block] = rate * _sum(intensities.relative[start:stop])
    return _sum(intensities.expected)


@kernel()
def draw_candidates(number, intensities, population_size, surplus, seed, sample, step, spikes):  # type: ignore[no-untyped-def]
    """Give each candidate to a population, and keep it or not."""
    expected = 0.0
    for block in range(intensities.expected.size):
        expected += intensities.expected[block]
        intensities.running_blocks[block] = expected
    words = intensities.words
    for first in range(0, number, _CANDIDATES_AT_ONCE):
        n = min(_CANDIDATES_AT_ONCE, number - first)
        candidates = intensities.numbers[:n]
        draw_blocks(
            seed, POPULATION_STREAM, sample, step, _FIRST_CANDIDATE + first, candidates, words
        )
        for j in range(n):
            k, rho = _population_at(_uniform(words[4 * j]) * expected, intensities)
            # Of M neurons, those that fire already cannot fire once more.
            free = population_size - spikes.count_of_unit[k]
            if _uniform(words[4 * j + 2]) * population_size < free and _is_kept(
                _uniform(words[4 * j + 1]) * surplus, rho
            ):
                add_spikes(spikes, k, 1)


@kernel(inline="always")
def _uniform(word):  # type: ignore[no-untyped-def]
    return (float(word) + 0.5) * _WORD


@inlined_kernel()
def _is_kept(uniform, rho):  # type: ignore[no-untyped-def]
    """Tell whether a number lies below λ/ρ, which is 1 and a little more."""
    # For a ρ that vanishes in rounding, λ = ρ.
    return uniform < 1.0 or (rho > 1e-12 and uniform * rho < -math.log1p(-rho))


@kernel()
def _population_at(target, intensities):  # type: ignore[no-untyped-def]
    """Return the population in which the running sum of ρ passes the target, and its ρ."""
    expected, relative = intensities.expected, intensities.relative
    block = min(_count_passed(target, intensities.running_blocks), expected.size - 1)
    while expected[block] == 0.0 and block > 0:  # where rounding leaves some target
        block -= 1
    first, last = block * BLOCK_UNITS, min((block + 1) * BLOCK_UNITS, relative.size)
    running = intensities.running[first:last]
    if not intensities.has_running[block]:
        intensities.has_running[block] = True
        so_far = 0.0
        for k in range(running.size):
            so_far += intensities.rate[block] * relative[first + k]
            running[k] = so_far
    before = intensities.running_blocks[block] - expected[block]
    found = min(_count_passed(max(target - before, 0.0), running), running.size - 1)
    while relative[first + found] == 0.0 and found > 0:
        found -= 1
    return first + found, intensities.rate[block] * relative[first + found]


@inlined_kernel()
def _count_passed(target, running):  # type: ignore[no-untyped-def]
    """Return how many running sums a target has passed. Without branches: sums are few."""
    passed = 0
    for j in range(running.size):
        passed += target >= running[j]
    return passed


@kernel()
def add_spikes(spikes, k, count):  # type: ignore[no-untyped-def]
    """Count spikes of population k."""
    if count == 0:
        return
    if spikes.count_of_unit[k] == 0:
        spikes.units[spikes.n_events[0]] = k
        spikes.n_events[0] += 1
    spikes.count_of_unit[k] += count


@kernel()
def close_step(spikes):  # type: ignore[no-untyped-def]
    """Write the counts beside the units, clear the scratch; return the number of spikes."""
    total = 0
    for event in range(spikes.n_events[0]):
        k = spikes.units[event]
        spikes.counts[event] = spikes.count_of_unit[k]
        total += spikes.count_of_unit[k]
        spikes.count_of_unit[k] = 0
    return total


@kernel()
def count_spikes(spikes, n_events, spike_counts):  # type: ignore[no-untyped-def]
    """Add the spikes of a step to those of the sample, by population."""
    for event in range(n_events):
        spike_counts[spikes.units[event]] += spikes.counts[event]


@kernel()
def binomial_quantile(word, n, p):  # type: ignore[no-untyped-def]
    """Return the Binomial(n, p) quantile at (word + ½) / 2³², by summing its probabilities.

    Parameters
    ----------
    word : uint64
        Uniform in [0, 2³²).
    n : int
        Trials, at most 1024.
    p : float
        Probability, in [0, 1].

    Returns
    -------
    int
        A Binomial(n, p) variate if `word` is uniform.
    """
    if p >= 1.0:
        return n
    if p > 0.5:  # summing from the likely end keeps (1 − p)^n inside the float range
        return n - binomial_quantile(np.uint64(0xFFFFFFFF) - word, n, 1.0 - p)
    uniform = _uniform(word)
    odds = p / (1.0 - p)
    probability = math.exp(n * math.log1p(-p))
    cumulative = probability
    k = 0
    while cumulative < uniform and k < n:
        k += 1
        probability *= odds * (n - k + 1) / k
        cumulative += probability
    return k

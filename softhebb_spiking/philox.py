"""The random numbers that every rung can draw alike.

They come from Philox4x32-10 [1]_, a bijection of a counter under a key. The key is the seed, the
counter is (index, step, sample, stream), so a number depends on *what* it is for and not on what
was drawn before it: runs repeat exactly in any order of work, on any rung.

References
----------
.. [1] Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softhebb_spiking._cache import cached_njit

INPUT_STREAM = 0
NEURON_STREAM = 1
POPULATION_STREAM = 2
# In integers: comparisons of neurons, updates to make, and roundings.
COMPARE_STREAM = 3
DOSE_STREAM = 4
PRIOR_STREAM = 5
TRACE_STREAM = 6
SYNAPSE_STREAM = 7
PAYLOAD_STREAM = 8
INPUT_LOW_STREAM = 9
BACKGROUND_STREAM = 10  # of the LIF circuit

STEPS_OF_BLOCK = 16  # where a block holds one byte for each step

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW_WORD = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10


@cached_njit(inline="always")
def philox_4x32(
    seed: np.uint64, stream: int, sample: int, step: int, block: int
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return the four random 32-bit words of one counter, as uint64.

    Parameters
    ----------
    seed : uint64
        The key.
    stream, sample, step, block : int
        The counter, each below 2**32; a block holds the words of four consecutive indices.

    Returns
    -------
    tuple of four uint64
        Independent, uniform in [0, 2**32).
    """
    # Everything stays 64 bits wide: numba promotes 32-bit shifts and would lose the carries.
    key_0 = seed & _LOW_WORD
    key_1 = seed >> _WORD_BITS
    c0 = np.uint64(block) & _LOW_WORD
    c1 = np.uint64(step) & _LOW_WORD
    c2 = np.uint64(sample) & _LOW_WORD
    c3 = np.uint64(stream) & _LOW_WORD
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _WORD_BITS) ^ c1 ^ key_0
        c2 = (product_0 >> _WORD_BITS) ^ c3 ^ key_1
        c1 = product_1 & _LOW_WORD
        c3 = product_0 & _LOW_WORD
        key_0 = (key_0 + _WEYL_0) & _LOW_WORD
        key_1 = (key_1 + _WEYL_1) & _LOW_WORD
    return c0, c1, c2, c3


@cached_njit()
def uniform_words(
    seed: int, stream: int, sample: int, step: int, n: int, first_block: int = 0
) -> NDArray[np.uint32]:
    """Return the random words of indices 0 … n−1.

    Parameters
    ----------
    seed, stream, sample, step : int
        Key and counter.
    n : int
        How many indices.
    first_block : int
        Count indices from the first one of this block of four.

    Returns
    -------
    ndarray of shape (n,), uint32
        Word i belongs to index i, whatever n is.
    """
    words = np.empty(n, np.uint32)
    for block in range((n + 3) // 4):
        four = philox_4x32(np.uint64(seed), stream, sample, step, first_block + block)
        for lane in range(min(4, n - 4 * block)):
            words[4 * block + lane] = np.uint32(four[lane])
    return words


@cached_njit()
def draw_blocks(
    seed: int,
    stream: int,
    sample: int,
    step: int,
    first: int,
    blocks: NDArray[np.int32],
    words: NDArray[np.uint32],
) -> None:
    """Draw the words of some blocks. The loop has no branches: it becomes vector instructions.

    Parameters
    ----------
    seed, stream, sample, step : int
        Key and counter.
    first : int
        Added to the numbers of the blocks.
    blocks : ndarray of shape (n,), int32
        Which blocks.
    words : ndarray of shape (at least 4 n,), uint32
        Filled: lane l of block first + blocks[p] is words[4 p + l].
    """
    for p in range(blocks.size):
        four = philox_4x32(np.uint64(seed), stream, sample, step, first + blocks[p])
        words[4 * p] = four[0]
        words[4 * p + 1] = four[1]
        words[4 * p + 2] = four[2]
        words[4 * p + 3] = four[3]


@cached_njit()
def bytes_of_steps(
    seed: int,
    stream: int,
    sample: int,
    sixteen_steps: int,
    indices: NDArray[np.int32],
    words: NDArray[np.uint32],
    drawn: NDArray[np.uint8],
) -> None:
    """Draw a byte for each of some indices and each of sixteen steps.

    In a stream that is drawn for the same indices in many steps, a block holds the bytes of one
    index for sixteen steps, lowest first. No loop has a branch, so that all of them become vector
    instructions.

    Parameters
    ----------
    seed, stream, sample : int
        Key and counter.
    sixteen_steps : int
        Which steps: the sixteen from 16 sixteen_steps on.
    indices : ndarray of shape (n,), int32
        The indices.
    words : ndarray of shape (4, at least n), uint32
        Scratch.
    drawn : ndarray of shape (16, at least n), uint8
        Filled: the byte of step 16 sixteen_steps + j and index indices[p] is drawn[j, p].
    """
    n = indices.size
    first, second, third, fourth = words[0], words[1], words[2], words[3]
    for p in range(n):
        four = philox_4x32(np.uint64(seed), stream, sample, sixteen_steps, indices[p])
        first[p] = four[0]
        second[p] = four[1]
        third[p] = four[2]
        fourth[p] = four[3]
    for step in range(STEPS_OF_BLOCK):
        row, shift, out = words[step // 4], np.uint32(8 * (step % 4)), drawn[step]
        for p in range(n):
            out[p] = (row[p] >> shift) & np.uint32(0xFF)


@cached_njit()
def step_bytes(seed: int, stream: int, sample: int, step: int, n: int) -> NDArray[np.uint8]:
    """Return the bytes of indices 0 … n−1 for one step of a stream of bytes, shape (n,)."""
    indices = np.arange(n).astype(np.int32)
    words, drawn = np.empty((4, n), np.uint32), np.empty((STEPS_OF_BLOCK, n), np.uint8)
    bytes_of_steps(seed, stream, sample, step // STEPS_OF_BLOCK, indices, words, drawn)
    of_step: NDArray[np.uint8] = drawn[step % STEPS_OF_BLOCK]
    return of_step


@cached_njit(inline="always")
def low_bits_of_input(seed: int, sample: int, step: int, index: int) -> np.uint64:
    """Return the 24 low bits of the word of an input; its high byte decides 255 times of 256."""
    words = philox_4x32(np.uint64(seed), INPUT_LOW_STREAM, sample, step, index)
    low_bits: np.uint64 = words[0] >> np.uint64(8)
    return low_bits


@cached_njit()
def input_words(seed: int, sample: int, step: int, n: int) -> NDArray[np.uint32]:
    """Return the words that decide which of n inputs fire in a step.

    Parameters
    ----------
    seed, sample, step : int
        Key and counter.
    n : int
        How many inputs.

    Returns
    -------
    ndarray of shape (n,), uint32
        Uniform; the high byte is from `INPUT_STREAM`, a stream of bytes.
    """
    high = step_bytes(seed, INPUT_STREAM, sample, step, n)
    words = np.empty(n, np.uint32)
    for i in range(n):
        low = low_bits_of_input(seed, sample, step, i)
        words[i] = np.uint32((np.uint64(high[i]) << np.uint64(24)) | low)
    return words

"""Random numbers against published vectors and laws, spikes against the rates they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2, kstest

from softhebb_spiking import encoding, philox
from softhebb_spiking.params import NetworkParams

# Two-sided, a normal deviate exceeds 5 sigma with probability 5.7e-7; no test here compares more
# than 100 numbers, so fewer than 6 seeds in 100 000 fail one. The seeds are fixed.
K_SIGMA = 5.0
FULL = 0xFFFFFFFF

# Random123 1.14, kat_vectors, philox4x32-10: counter, key, words.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((FULL,) * 4, (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox_of_integers(counter: list[int], key: list[int]) -> list[int]:
    """Return Philox4x32-10 in Python's unbounded integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high_0, low_0 = divmod(0xD2511F53 * c[0], 2**32)
        high_1, low_1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def words_of(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    block, step, sample, stream = counter
    seed = np.uint64(key[0] + (key[1] << 32))
    return [int(word) for word in philox.philox_4x32(seed, stream, sample, step, block)]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_known_answers(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    assert words_of(counter, key) == list(words)
    assert philox_of_integers(list(counter), list(key)) == list(words)


word = st.integers(0, FULL)


@given(counter=st.tuples(word, word, word, word), key=st.tuples(word, word))
@settings(deadline=None)
def test_philox_against_unbounded_integers(counter: tuple[int, ...], key: tuple[int, ...]) -> None:
    assert words_of(counter, key) == philox_of_integers(list(counter), list(key))


def test_a_word_belongs_to_its_index_whatever_the_length() -> None:
    words = philox.uniform_words(9, 1, 2, 3, 11)
    assert words.dtype == np.uint32
    for n in (0, 1, 4, 5, 10):
        np.testing.assert_array_equal(philox.uniform_words(9, 1, 2, 3, n), words[:n])
    assert [int(value) for value in words[4:8]] == words_of((1, 3, 2, 1), (9, 0))


def test_an_input_word_is_a_byte_of_one_block_and_the_low_bits_of_another() -> None:
    seed, sample, n = 9, 3, 5
    for step in (0, 5, 15, 16, 47):
        words = philox.input_words(seed, sample, step, n)
        for i in range(n):
            high = b"".join(
                w.to_bytes(4, "little") for w in words_of((i, step // 16, 3, 0), (9, 0))
            )
            low = words_of((i, step, 3, 9), (9, 0))[0] // 256
            assert int(words[i]) == high[step % 16] * 2**24 + low
        payload = philox.step_bytes(seed, philox.PAYLOAD_STREAM, sample, step, n)
        for i in range(n):
            of_block = b"".join(
                w.to_bytes(4, "little") for w in words_of((i, step // 16, 3, 8), (9, 0))
            )
            assert payload[i] == of_block[step % 16]


@pytest.mark.parametrize("changed", ["seed", "high half of the seed", "stream", "sample", "step"])
def test_every_part_of_the_counter_and_key_matters(changed: str) -> None:
    base = {"seed": 5, "stream": 0, "sample": 0, "step": 0}
    other = dict(base)
    if changed == "high half of the seed":
        other["seed"] += 1 << 32
    else:
        other[changed] += 1
    first = philox.uniform_words(*base.values(), 64)
    second = philox.uniform_words(*other.values(), 64)
    assert (first == second).sum() == 0  # 64 · 2^−32 = 1.5e-8 for independent words


def grid_of_words(n_samples: int = 20, n_steps: int = 50, n: int = 100) -> NDArray[np.uint32]:
    return np.array(
        [
            [philox.uniform_words(77, 0, sample, step, n) for step in range(n_steps)]
            for sample in range(n_samples)
        ]
    )


@pytest.mark.statistical
def test_words_are_uniform() -> None:
    """Five p-values below 1e-6 and four deviations of 5 sigma: 7 false alarms in a million."""
    words = grid_of_words()
    uniforms = (words.ravel() + 0.5) / 2.0**32
    assert kstest(uniforms, "uniform").pvalue > 1e-6
    assert kstest(uniforms**1.05, "uniform").pvalue < 1e-6  # what it must see
    for shift in (0, 8, 16, 24):
        counts = np.bincount((words.ravel() >> shift) & 0xFF, minlength=256)
        expected = words.size / 256
        assert chi2.sf(((counts - expected) ** 2 / expected).sum(), 255) > 1e-6
    centred = uniforms.reshape(words.shape) - 0.5
    for axis in range(3):  # neighbours in sample, step and index are uncorrelated
        a, b = (np.take(centred, range(s, centred.shape[axis] - 1 + s), axis) for s in (0, 1))
        sigma = math.sqrt(a.size) / 12  # of a sum of products of variance 1/144
        assert abs((a * b).sum()) < K_SIGMA * sigma
    low, high = words.ravel() & 0xFFFF, words.ravel() >> 16
    product = (low / 2.0**16 - 0.5) * (high / 2.0**16 - 0.5)
    assert abs(product.sum()) < K_SIGMA * math.sqrt(words.size) / 12


# --- thresholds and spikes ---------------------------------------------------------------------

NET = NetworkParams(n_features=6, n_units=2, n_steps=30, settle_steps=10, max_probability=0.4)
SAMPLES = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 0.8], [0.5, 0.5, 0.1, 0.0, 0.3, 0.2]])
SAMPLES /= np.linalg.norm(SAMPLES, axis=1, keepdims=True)


def test_thresholds_are_probabilities_of_32_bits() -> None:
    probabilities = np.array([0.0, 2.0**-32, 0.5, 1.0])
    np.testing.assert_array_equal(encoding.spike_thresholds(probabilities), [0, 1, 2**31, 2**32])


def test_probability_one_always_fires_and_zero_never() -> None:
    thresholds = encoding.spike_thresholds(np.array([1.0, 0.0, 1.0]))
    starts, indices = encoding.draw_presentation(thresholds, 500, 3, 0)
    np.testing.assert_array_equal(starts, np.arange(501) * 2)
    np.testing.assert_array_equal(indices, np.tile([0, 2], 500))


def test_spikes_are_words_below_their_thresholds() -> None:
    """draw_presentation, draw_input_spikes and input_words are one definition."""
    seed, first = 12345678901234567, 40
    thresholds = encoding.spike_thresholds(encoding.input_probabilities(SAMPLES, 0.4))
    by_words = []
    for m, row in enumerate(thresholds):
        for j in range(NET.presentation_steps):
            words = philox.input_words(seed, first + m, j, 6)
            by_words += [(m, j, i) for i in range(6) if int(words[i]) < int(row[i])]
    drawn = encoding.draw_input_spikes(SAMPLES, NET, seed, first)
    assert [tuple(row) for row in drawn.tolist()] == by_words
    for m, row in enumerate(thresholds):
        starts, indices = encoding.draw_presentation(row, NET.presentation_steps, seed, first + m)
        rows = encoding.spike_rows(m, starts, indices)
        np.testing.assert_array_equal(rows, drawn[drawn[:, 0] == m])
    assert len(drawn) > 50
    assert drawn.dtype == np.int64


def test_spikes_do_not_depend_on_what_was_drawn_before() -> None:
    samples = np.vstack([SAMPLES, SAMPLES[::-1], SAMPLES])
    whole = encoding.draw_input_spikes(samples, NET, 5)
    for m in reversed(range(len(samples))):
        alone = encoding.draw_input_spikes(samples[m : m + 1], NET, 5, first_sample=m)
        np.testing.assert_array_equal(alone[:, 1:], whole[whole[:, 0] == m][:, 1:])
    unshifted = encoding.draw_input_spikes(samples[4:], NET, 5)
    assert not np.array_equal(unshifted[:, 1:], whole[whole[:, 0] >= 4][:, 1:])


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_spike_rates_are_the_probabilities(scale: float) -> None:
    n_repeats = 600
    samples = np.repeat(SAMPLES, n_repeats, axis=0)
    spikes = encoding.draw_input_spikes(samples, NET, 1)
    n = n_repeats * NET.presentation_steps
    for m in (0, 1):
        chosen = spikes[spikes[:, 0] // n_repeats == m]
        counts = np.bincount(chosen[:, 2], minlength=6)
        p = 0.4 * scale * SAMPLES[m] / SAMPLES[m].max()
        assert counts[p == 0].sum() == 0
        deviations = np.abs(counts - n * p) / np.sqrt(np.maximum(n * p * (1 - p), 1e-9))
        assert (deviations.max() < K_SIGMA) == (scale == 1.0)


# --- the PSP -----------------------------------------------------------------------------------


def share_of_a_spike(params: NetworkParams) -> NDArray[np.float64]:
    """Return by how much a unit PSP of each step raises the mean over the steps read."""
    d = math.exp(-params.dt_ms / params.psp_tau_ms)
    steps = range(params.presentation_steps)
    return np.array(
        [
            sum(d ** (t - j) for t in steps if t >= max(j, params.settle_steps)) / params.n_steps
            for j in steps
        ]
    )


@pytest.mark.parametrize("settle_steps", [0, 1, 25])
@pytest.mark.parametrize("psp_tau_ms", [0.5, 10.0, 400.0])
def test_the_expected_psp_is_the_sample(settle_steps: int, psp_tau_ms: float) -> None:
    """Exactly, as the mean over the steps read, however little of the rise they see."""
    net = NetworkParams(
        n_features=6,
        n_units=2,
        settle_steps=settle_steps,
        psp_tau_ms=psp_tau_ms,
        dt_ms=0.5,
        n_steps=20,
    )
    gain = encoding.psp_gain(SAMPLES, net)
    p = encoding.input_probabilities(SAMPLES, net.max_probability)
    expected = gain[:, np.newaxis] * p * share_of_a_spike(net).sum()
    # rise = 1 − mean d^j cancels up to three digits at τ_psp = 400 ms.
    np.testing.assert_allclose(expected, SAMPLES, rtol=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_the_mean_psp_is_the_sample(scale: float) -> None:
    net = NetworkParams(n_features=6, n_units=2, n_steps=10, settle_steps=3, max_probability=0.4)
    n_repeats = 1000
    for x in SAMPLES:
        spikes = encoding.draw_input_spikes(np.tile(x, (n_repeats, 1)), net, 8)
        g = scale * float(encoding.psp_gain(x, net))
        weight = share_of_a_spike(net)
        means = g * np.bincount(spikes[:, 2], weight[spikes[:, 1]], minlength=6) / n_repeats
        p = 0.4 * x / x.max()
        sigma = g * np.sqrt(p * (1 - p) * (weight**2).sum() / n_repeats)
        deviations = np.abs(means - x) / np.maximum(sigma, 1e-12)
        assert (deviations.max() < K_SIGMA) == (scale == 1.0)


def test_the_decay_is_per_step_of_dt() -> None:
    coarse = NetworkParams(n_features=1, n_units=1, dt_ms=1.0, psp_tau_ms=7.0)
    fine = NetworkParams(n_features=1, n_units=1, dt_ms=0.25, psp_tau_ms=7.0)
    assert encoding.psp_decay(coarse) == pytest.approx(encoding.psp_decay(fine) ** 4, rel=1e-15)
    assert encoding.psp_decay(coarse) == pytest.approx(0.8668778997501817, rel=1e-15)


def test_compiled_thresholds_are_those_of_the_probabilities() -> None:
    samples = np.random.default_rng(3).random((7, 50)) ** 3
    samples[samples < 0.1] = 0.0
    expected = encoding.spike_thresholds(encoding.input_probabilities(samples, 0.37))
    np.testing.assert_array_equal(encoding.input_thresholds(samples, 0.37), expected)

"""The network in integers, point by point from docs/fixed_point.md, in plain numpy and Python.

It shares no code with the package: generator, tables, shifts and order of the steps are written
here again. Of a `FixedNetwork` it takes only the numbers that describe a network.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
M32 = 2**32 - 1


def philox(seed: int, stream: int, sample: int, step: int, n_words: int, first: int = 0) -> Ints:
    """Words of Philox4x32-10 (Salmon et al. 2011) for blocks first, first + 1, …"""
    n_blocks = -(-n_words // 4)
    c = [np.arange(first, first + n_blocks, dtype=object), step, sample, stream]
    k = [seed & M32, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    rows = [np.broadcast_to(np.asarray(word, dtype=object), (n_blocks,)) for word in c]
    return np.stack(rows, axis=1).ravel()[:n_words].astype(np.int64)


def pieces(words: Ints, bits: int) -> Ints:
    """Cut 32-bit words into pieces, lowest first."""
    shifts = np.arange(0, 32, bits)
    return ((words[:, None] >> shifts) & (2**bits - 1)).ravel()


def antilog(x: int, fraction_bits: int, table_bits: int) -> tuple[int, int]:
    """Mantissa (15 bits and a leading one) and exponent of 2^(x / 2^fraction_bits)."""
    octave, rest = divmod(x, 2**fraction_bits)
    part = rest * 2**table_bits // 2**fraction_bits
    return round(2 ** (15 + (part + 0.5) / 2**table_bits)), octave


def log2_of(n: int, table_bits: int) -> int:
    """4096 log2(n), with as many bits of n behind the first as the table has."""
    octave = len(bin(n)) - 3
    part = (n * 2**table_bits // 2**octave) - 2**table_bits
    return 4096 * octave + round(4096 * math.log2(1 + part / 2**table_bits))


def log2_of_sum(values: Any, table_bits: int) -> int:
    """4096 log2 Σ 2^(v / 4096), terms aligned to the largest octave and cut off."""
    terms = [antilog(int(v), 12, table_bits) for v in values]
    top = max(octave for _, octave in terms)
    total = sum(mantissa // 2 ** min(31, top - octave) for mantissa, octave in terms)
    return 4096 * (top - 15) + log2_of(total, table_bits)


def half_up(x: int, shift: int) -> int:
    return (2 * x + 2**shift) // 2 ** (shift + 1)


@dataclass
class IntegerResult:
    """All states; the traces and drives of the steps that are read, and everything at the end."""

    weights: Ints
    log_prior: Ints
    spike_counts: Ints
    drive: Ints
    inhibition: Ints
    psp: Ints
    output_spikes: list[tuple[int, int, int]] = field(default_factory=list)


class Oracle:
    """One run, learned in integers.

    `fault` plants an error: "decay sign", "trace decay", "table", "late prior" or "rounding".
    """

    def __init__(self, run: Any, fixed: Any, fault: str = "") -> None:
        self.run, self.net, self.fault = run, run.network, fault
        self.t = fixed.params.table_bits + (fault == "table")
        self.shared = fixed.params.rounding == "shared"
        self.epoch = fixed.params.learning_epoch
        self.unit = 2.0**fixed.weight.exponent
        self.D = round(4096 * math.exp(-self.net.dt_ms / self.net.psp_tau_ms))
        found = re.fullmatch(
            r"2\^(-?\d+)\*u0\*x1\*y1 - (\d+)\*2\^(-?\d+)\*u0\*y1\*y2\*w", fixed.learning.rule
        )
        assert found is not None
        self.a, self.m, self.b = (int(text) for text in found.groups())
        self.Q = fixed.learning.y1_quantum
        self.y2 = fixed.learning.y2_multiplier.mantissa, fixed.learning.y2_multiplier.shift
        self.v = fixed.octaves_multiplier.mantissa, fixed.octaves_multiplier.shift
        self.payload_per_gain = fixed.payload_per_gain
        self.step_size = fixed.learning.step
        # Lava's own generators: one number each when made, two a step for traces, one an epoch.
        key = (run.seed + run.first_sample) % 2**31
        self.rng = {"w": np.random.default_rng(2), "x": np.random.default_rng(key)}
        self.rng["y"] = np.random.default_rng(key + 2)
        self.last = {name: rng.random() for name, rng in self.rng.items()}

    def words(self, stream: int, n: int, first: int = 0) -> Ints:
        sample = self.run.first_sample + self.sample
        return philox(self.run.seed, stream, sample, self.j, n, first)

    def bytes_of_step(self, stream: int, n: int) -> Ints:
        """A block of these streams has the bytes of one input for sixteen steps, lowest first."""
        sample = self.run.first_sample + self.sample
        drawn = philox(self.run.seed, stream, sample, self.j // 16, 4 * n)
        return pieces(drawn, 8).reshape(n, 16)[:, self.j % 16]

    def low_bits(self, n: int) -> Ints:
        return self.words(9, 4 * n)[::4] // 256

    def go(self) -> IntegerResult:
        run, net = self.run, self.net
        K, n, shape = net.n_units, net.n_features, (len(run.samples), net.n_steps)
        self.W = np.rint(run.weights / self.unit).astype(np.int64).clip(0, 255)
        self.B = np.rint(run.log_prior / math.log(2) * 2**18).astype(np.int64).clip(-(2**23), 0)
        out = IntegerResult(
            self.W,
            self.B,
            np.zeros((shape[0], K), np.int64),
            np.zeros((*shape, K), np.int64),
            np.zeros(shape, np.int64),
            np.zeros((*shape, n), np.int64),
        )
        for self.sample in range(shape[0]):
            self.present(out)
        out.weights, out.log_prior = self.W, self.B
        return out

    def present(self, out: IntegerResult) -> None:
        run, net, K, n = self.run, self.net, self.net.n_units, self.net.n_features
        x = run.samples[self.sample]
        steps = net.settle_steps + net.n_steps
        d = math.exp(-net.dt_ms / net.psp_tau_ms)
        rise = 1 - sum(d ** (j + 1) for j in range(net.settle_steps, steps)) / net.n_steps
        g = x.max() * (1 - d) / (net.max_probability * rise)
        half = min(2**15 - 1, round(256 * g * self.payload_per_gain))
        per_spike = net.total_rate * net.n_steps
        dose = round(2**24 * run.learning_rates[self.sample] / per_spike / self.step_size)
        rate = round(2**34 * run.prior_learning_rates[self.sample] / per_spike / math.log(2))
        rate = min(2**32 - 1, rate)
        self.U, A = np.zeros(K, np.int64), np.zeros(K, np.int64)
        self.X, self.due = np.zeros(n, np.int64), np.zeros(K, np.int64)
        h = v = 0
        for self.j in range(steps + 1):
            self.U = np.minimum(self.U * self.D // 4096 + A, 2**23 - 1)
            V = self.U * self.v[0] // 2 ** self.v[1] + self.B // 64
            if net.inhibition == "exact":
                h = log2_of_sum(V, self.t)
            counts, c = np.zeros(K, np.int64), np.zeros(n, np.int64)
            if self.j < steps:
                counts = self.fire(V, h)
                c = self.encode(x, half)
            A = self.W @ (2 * c)
            self.X = np.minimum(127, self.X + c)
            read = net.settle_steps <= self.j < steps
            if read:
                self.due += counts * dose
            if (self.j + 1) % self.epoch == 0:
                self.learn()
            else:
                self.advance_lava(epoch_ends=False)
            if read:
                where = self.sample, self.j - net.settle_steps
                out.drive[where], out.inhibition[where], out.psp[where] = self.U, h, self.X
                out.spike_counts[self.sample] += counts
            for k in np.flatnonzero(counts):
                out.output_spikes += [(self.sample, self.j, int(k))] * int(counts[k])
            e = self.correction(V, h, counts)
            v = (self.D * v + (4096 - self.D) * e) // 4096
            h = max(-(2**23), min(2**23 - 1, h + e + v))
            if read and rate:
                self.learn_prior(counts, rate)

    def encode(self, x: Any, half: int) -> Ints:
        """Half the payload of each input's spike."""
        n, rows = self.net.n_features, self.run.input_spikes
        words = self.bytes_of_step(0, n) * 2**24 + self.low_bits(n)
        fired = words < np.rint(2.0**32 * (self.net.max_probability * x / x.max()))
        if rows is not None:
            fired = np.zeros(n, bool)
            fired[rows[(rows[:, 0] == self.sample) & (rows[:, 1] == self.j), 2]] = True
        return np.where(fired, (half + self.bytes_of_step(8, n)) // 256, 0)

    def correction(self, V: Ints, h: int, counts: Ints) -> int:
        net = self.net
        if net.inhibition == "feedback":
            target = round(4096 * math.log2(2 * net.total_rate + 1))
            e = log2_of(2 * int(counts.sum()) + 1, self.t) - target
            return round(256 * net.inhibition_gain) * e // 256
        return log2_of_sum(V - h, self.t) if net.inhibition == "graded" else 0

    def fire(self, V: Ints, h: int) -> Ints:
        net = self.net
        if self.run.output_spikes is not None:
            rows = self.run.output_spikes
            now = (rows[:, 0] == self.sample) & (rows[:, 1] == self.j)
            return np.bincount(rows[now, 2], minlength=net.n_units)
        offset = round(4096 * math.log2(net.total_rate / net.population_size))
        size = net.n_units * net.population_size
        numbers = pieces(self.words(3, -(-size // 2)), 16)[:size].reshape(net.n_units, -1)
        counts = np.zeros(net.n_units, np.int64)
        for k in range(net.n_units):
            mantissa, octave = antilog(int(V[k]) - h + offset, 12, self.t)
            limit = 2**16 if octave >= 0 else half_up(mantissa, -1 - octave)
            counts[k] = (numbers[k] < limit).sum()
        return counts

    def advance_lava(self, epoch_ends: bool) -> None:
        for name in ("x", "y"):
            self.last[name] = self.rng[name].random(2)[1]
        if epoch_ends:
            self.last["w"] = self.rng["w"].random()

    def learn(self) -> None:
        self.advance_lava(epoch_ends=True)
        n, K = self.net.n_features, self.net.n_units
        tau = self.net.psp_tau_ms / self.net.dt_ms * (0.5 if self.fault == "trace decay" else 1)
        noise = pieces(self.words(6, -(-n // 4)), 8)[:n] * 16
        for _ in range(self.epoch):
            if self.shared:
                self.X = self.lava_decay(self.X, tau, self.last["x"])
            else:
                D = self.D // 2 if self.fault == "trace decay" else self.D
                self.X = (self.X * D + noise) // 4096
        draws = self.words(4, K) // 256
        for k in range(K):
            if self.due[k] == 0:
                continue
            quanta = min(127 // self.Q, (int(self.due[k]) + int(draws[k])) // 2**24)
            y = np.array(
                [quanta * self.Q, min(127, half_up(int(self.U[k]) * self.y2[0], self.y2[1]))]
            )
            if quanta:
                self.learn_unit(k, y)
        self.due[:] = 0

    @staticmethod
    def lava_decay(trace: Ints, tau: float, random: float) -> Ints:
        exact = np.exp(-1 / np.array([tau])) * trace
        return (np.floor(exact) + (random < exact % 1)).astype(np.int64)

    def learn_unit(self, k: int, y: Ints) -> None:
        if self.shared:
            for _ in range(self.epoch):
                y = self.lava_decay(y, 65535.0, self.last["y"])
        y1, y2 = (int(value) for value in y)
        w = self.W[k]
        lo, hi = -(2**15) - 1, 2**15 - 1
        sign = 1 if self.fault == "decay sign" else -1
        growth = (self.X * y1 // 8 * 2 ** (self.a + 7)).clip(lo, hi)
        decay = (sign * self.m * y1 * y2 * w // 4096 * 2 ** (self.b + 7)).clip(lo, hi)
        total = ((128 * w + growth).clip(lo, hi) + decay).clip(0, hi)
        if self.shared:
            up = self.last["w"] < total % 128 / 128
        else:
            blocks = -(-self.net.n_features // 16)
            noise = pieces(self.words(7, 4 * blocks, k * blocks), 8)[: w.size] % 128
            up = total % 128 + noise >= 128
        if self.fault == "rounding":
            up = np.zeros(w.size, bool)
        self.W[k] = np.minimum(255, total // 128 + up)

    def learn_prior(self, counts: Ints, rate: int) -> None:
        draws = self.words(5, self.net.n_units) // 256
        for k in range(self.net.n_units):
            mantissa, octave = antilog(-int(self.B[k]), 18, self.t)
            inverse = half_up(mantissa, 7 - octave) if octave <= 7 else mantissa << (octave - 7)
            growth = int(counts[k]) * min(2**24 - 1, inverse)
            if self.fault == "late prior":
                growth *= 2
            gain = max(-(2**30), min(2**30 - 1, growth - 256 * int(counts.sum())))
            change = (rate * gain + int(draws[k])) // 2**24
            self.B[k] = min(0, max(-(2**23), int(self.B[k]) + change))


def run_oracle(run: Any, fixed: Any, fault: str = "") -> IntegerResult:
    return Oracle(run, fixed, fault).go()

"""The integer program of one step of each neuron that a chip does not have in stock.

The listings are generated from the constants and tables of the fixed-point model. Every line is an
assignment of integers, so they can be run as they stand, and are compared with the models bit for
bit; what they call is defined once, in `PRIMITIVES`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from softhebb_spiking.circuit_constants import circuit_constants
from softhebb_spiking.circuit_params import CircuitRun, LifCircuitParams
from softhebb_spiking.fixed_network import FixedNetwork
from softhebb_spiking.fixed_point import (
    COMPARE_BITS,
    DECAY_BITS,
    DOSE_BITS,
    GAIN_FRACTION_BITS,
    GROWTH,
    GROWTH_FRACTION_BITS,
    LOG_FRACTION_BITS,
    LOG_PRIOR,
    MANTISSA_BITS,
    PRIOR_FRACTION_BITS,
    RATE_FRACTION_BITS,
    STATE,
    TRACE,
    Multiplier,
    exp2_table,
    log2_table,
)
from softhebb_spiking.params import FixedPointParams

PRIMITIVES = f"""
def sat(x, low, high):           # saturate
    return low if x < low else high if x > high else x

def round_shift(x, k):           # x / 2^k, halves up
    return (x + ((1 << k) >> 1)) >> k

def exp2(x, f):                  # mantissa m, exponent e: 2^(x / 2^f) = m 2^(e - {MANTISSA_BITS})
    return EXP2[(x >> (f - TABLE_BITS)) & (len(EXP2) - 1)], x >> f

def threshold(x):                # 2^{COMPARE_BITS} min(1, 2^(x / 2^{LOG_FRACTION_BITS}))
    m, e = exp2(x, {LOG_FRACTION_BITS})
    return {1 << COMPARE_BITS} if e >= 0 else round_shift(m, min(-1 - e, {COMPARE_BITS + 2}))

def log2(n):                     # 2^{LOG_FRACTION_BITS} log2(n) of an integer n >= 1
    octave = n.bit_length() - 1  # position of the first bit
    return (octave << {LOG_FRACTION_BITS}) + LOG2[(n << TABLE_BITS >> octave) - len(LOG2)]

def inverse_prior(b):            # 2^{GROWTH_FRACTION_BITS} 2^(-b), below 2^24
    m, e = exp2(-b, {PRIOR_FRACTION_BITS})
    k = {MANTISSA_BITS - GROWTH_FRACTION_BITS} - e
    return min(round_shift(m, k) if k >= 0 else m << min(-k, {COMPARE_BITS}), {2**24 - 1})
"""


@dataclass(frozen=True)
class StepProgram:
    """What one neuron of a Process does in a step.

    Attributes
    ----------
    name : str
        Name of the Process.
    about : str
        One sentence.
    states : tuple of (str, str)
        Variables that last from step to step, and their widths.
    inputs : tuple of (str, str)
        What a step finds, and where from.
    outputs : tuple of (str, str)
        What it leaves, and where to.
    lines : str
        The program.
    """

    name: str
    about: str
    states: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    lines: str


def tables(fixed: FixedNetwork) -> dict[str, Any]:
    """Return the tables that the primitives read."""
    bits = fixed.params.table_bits
    return {
        "TABLE_BITS": bits,
        "EXP2": exp2_table(bits).tolist(),
        "LOG2": log2_table(bits).tolist(),
    }


def encoder_program(fixed: FixedNetwork) -> StepProgram:
    """Return the program of a `RateEncoder`'s source."""
    return StepProgram(
        "RateEncoder",
        "A source of input spikes, one for each feature; a host may send the spikes instead.",
        states=(
            ("p", "32 bits and one, unsigned: 2^32 times the spike probability; set at onset"),
            ("c", "15 bits, unsigned: 2^8 times half the payload; set at onset"),
        ),
        inputs=(("random32, random8", "two random numbers, unsigned"),),
        outputs=(("payload", "to the synapses, even; 0 is no spike"),),
        lines="payload = ((c + random8) >> 8) << 1 if random32 < p else 0",
    )


def soft_wta_program(fixed: FixedNetwork) -> StepProgram:
    """Return the program of a `SoftWTA`'s unit: its drive, its M neurons, and its reports.

    Raises
    ------
    ValueError
        With "exact" inhibition, for which units would have to know each other's drives at once.
    """
    mode = fixed.network.inhibition
    if mode == "exact":
        raise ValueError(
            "inhibition='exact' sees the drives of all units within a step, which no neuron can; "
            "use inhibition='feedback' or 'graded' on a chip."
        )
    message = f"message = exp2(v - h, {LOG_FRACTION_BITS})\n" if mode == "graded" else ""
    lines = f"""
# the log prior learns from the spikes of the last step, whose total the pool has just sent
if prior_rate > 0:
    growth = n * inverse_prior(b) - (n_total << {GROWTH_FRACTION_BITS})
    change = prior_rate * sat(growth, {GROWTH.min_integer}, {GROWTH.max_integer})
    b = b + ((change + random24) >> {RATE_FRACTION_BITS + GROWTH_FRACTION_BITS})
    b = sat(b, {LOG_PRIOR.min_integer}, 0)
# the drive, and the logarithm of the intensity in units of 2^-{LOG_FRACTION_BITS} octaves
u = sat(((u * {fixed.decay}) >> {DECAY_BITS}) + a, {STATE.min_integer}, {STATE.max_integer})
v = {_times("u", fixed.octaves_multiplier)} + (b >> {PRIOR_FRACTION_BITS - LOG_FRACTION_BITS})
{message}# each of the {fixed.network.population_size} neurons compares a random number of its own
t = 0 if is_reset else threshold(v - h + {fixed.neuron_rate_log})
n = sum(word < t for word in random16)
# what the synapses are owed, and the drive, in 7 bits
{_reports(fixed)}
u = 0 if is_reset else u
"""
    return StepProgram(
        "SoftWTA",
        "A unit: drive, log prior and a population of neurons that compete with the other units'.",
        states=(
            ("u", "24 bits, signed: drive"),
            ("b", "24 bits, signed: log prior, units of 2^-18 octaves"),
            ("n", "16 bits, unsigned: spikes of the last step"),
            ("owed", "40 bits, unsigned: updates owed to the synapses, units of 2^-24"),
        ),
        inputs=(
            ("a", "24 bits, signed: synaptic current"),
            ("h, n_total", "24 bits, from the pool: inhibition and spikes of the last step"),
            ("prior_rate, dose", "from the host, by sample; 0 unless the step is read"),
            ("is_reset, is_epoch_end", "from the count of steps"),
            ("random16", "a random number for each neuron, unsigned"),
            ("random24, dose_random24", "random numbers, unsigned"),
        ),
        outputs=(
            ("n", "graded spike, to the pool and on"),
            *([("message", "graded spikes to the pool, mantissa and exponent")] if message else []),
            ("y1, y2", "to the synapses"),
        ),
        lines=lines.strip(),
    )


def inhibition_program(fixed: FixedNetwork) -> StepProgram:
    """Return the program of the `LateralInhibition` pool."""
    gained = (1 << DECAY_BITS) - fixed.decay
    if fixed.network.inhibition == "feedback":
        heard = ("n_total", "24 bits: spikes of all units in this step, summed by the synapses")
        error = (
            f"e = log2(2 * n_total + 1) - {fixed.target_log}\n"
            f"e = ({fixed.pool_gain} * e) >> {GAIN_FRACTION_BITS}"
        )
    else:
        heard = (
            "messages",
            "pairs of mantissa and exponent from each unit, 2^(v - h) of its step: exp2(v - h, "
            f"{LOG_FRACTION_BITS})",
        )
        error = (
            "top = max(exponent for mantissa, exponent in messages)\n"
            "total = sum(m >> min(top - exponent, 31) for m, exponent in messages)\n"
            f"e = ((top - {MANTISSA_BITS}) << {LOG_FRACTION_BITS}) + log2(total)"
        )
    lines = f"""
{error}
trend = (({fixed.decay} * trend) + ({gained} * e)) >> {DECAY_BITS}
h = sat(h + e + trend, {STATE.min_integer}, {STATE.max_integer})
h, trend, n_total = (0, 0, 0) if is_reset else (h, trend, n_total)
"""
    return StepProgram(
        "LateralInhibition",
        "The pool: one neuron that hears all units, and inhibits them alike from the next step on.",
        states=(
            ("h", "24 bits, signed: inhibition, units of 2^-12 octaves"),
            ("trend", "24 bits, signed: trend of its corrections"),
        ),
        inputs=(heard, ("is_reset", "from the count of steps")),
        outputs=(("h, n_total", "graded spikes to the units, seen in their next step"),),
        lines=lines.strip(),
    )


def dendrite_program(fixed: FixedNetwork, current_factor: float) -> StepProgram:
    """Return the program of a `Dendrite` that sends `current_factor` per unit of current."""
    multiplier = Multiplier.nearest(current_factor)
    lines = f"""
payload = round_shift(a * {multiplier.mantissa}, {multiplier.shift})
u = sat(((u * {fixed.decay}) >> {DECAY_BITS}) + a, {STATE.min_integer}, {STATE.max_integer})
{_reports(fixed)}
"""
    return StepProgram(
        "Dendrite",
        "A relay of the LIF circuit with the three-factor rule: one for each unit.",
        states=(
            ("u", "24 bits, signed: drive"),
            ("owed", "40 bits, unsigned: updates owed to the synapses, units of 2^-24"),
        ),
        inputs=(
            ("a", "24 bits, signed: synaptic current"),
            ("n", "16 bits: spikes of the unit's neurons, summed by the synapses"),
            ("dose", "from the host, by sample; 0 unless the step is read"),
            ("is_epoch_end", "from the count of steps"),
            ("dose_random24", "a random number, unsigned"),
        ),
        outputs=(("payload", "graded spike to the unit's neurons"), ("y1, y2", "to the synapses")),
        lines=lines.strip(),
    )


def _times(name: str, multiplier: Multiplier) -> str:
    return f"(({name} * {multiplier.mantissa}) >> {multiplier.shift})"


def _reports(fixed: FixedNetwork) -> str:
    """Return the lines that set y1 and y2."""
    learning = fixed.learning
    y2 = learning.y2_multiplier
    return f"""
owed = owed + n * dose
updates = 0
if is_epoch_end and owed > 0:
    updates = min((owed + dose_random24) >> {DOSE_BITS}, {learning.max_quanta})
owed = 0 if is_epoch_end else owed
y1 = updates * {learning.y1_quantum}
y2 = sat(round_shift(u * {y2.mantissa}, {y2.shift}), 0, {TRACE.max_integer})
""".strip()


def step_programs(fixed: FixedNetwork) -> list[StepProgram]:
    """Return the programs of all Processes that need one.

    Parameters
    ----------
    fixed : FixedNetwork
        The integers of a layer.

    Returns
    -------
    list of StepProgram
    """
    return [
        encoder_program(fixed),
        soft_wta_program(fixed),
        inhibition_program(fixed),
        dendrite_program(fixed, dendrite_factor(fixed)),
    ]


def dendrite_factor(fixed: FixedNetwork) -> float:
    """Return the payload per unit of current of the dendrites in the layer's LIF circuit."""
    net = fixed.network
    circuit = LifCircuitParams(
        n_features=net.n_features,
        n_units=net.n_units,
        gain=1.0 / net.temperature,
        population_size=net.population_size,
        total_rate=net.total_rate,
        psp_tau_ms=net.psp_tau_ms,
        dt_ms=net.dt_ms,
    )
    run = CircuitRun(
        circuit=circuit,
        weights=np.zeros((net.n_units, net.n_features)),
        samples=np.zeros((0, net.n_features)),
        learning="three_factor",
        learning_rates=np.zeros(0),
        fixed=FixedPointParams(),
    )
    return circuit.gain * fixed.drive_unit * circuit_constants(run).current_per_nat


def programs_page(fixed: FixedNetwork) -> str:
    """Return the programs of a layer as a page of Markdown."""
    net = fixed.network
    found = tables(fixed)
    parts = [
        "# Step programs",
        textwrap.fill(
            "What one neuron of each Process does in a step, in integers, for a chip whose "
            "neurons can be programmed. The page is generated by `softhebb-spiking programs "
            f"MODEL`, here for {net.n_features} inputs, {net.n_units} units, temperature "
            f"{net.temperature:g}, population_size {net.population_size}, total_rate "
            f"{net.total_rate:g}, `{net.inhibition}` inhibition; constants of another model "
            "differ. `>>` is an arithmetic shift, which rounds down; products need up to 64 bits. "
            "Random numbers are uniform; on the CPU they come from Philox, and any generator will "
            "do.",
            100,
        ),
        "The order of a step has no cycle: sources fire; synapses add what fired in the *last* "
        "step; the pool sends\nwhat it knew at the end of the last step; units step; the pool "
        "steps; synapses learn.",
        "The synapses are those of the chip's learning engine, with the rule\n\n"
        f"    dw = {fixed.learning.rule}\n\n"
        f"every {fixed.learning.epoch} steps, weights of 8 bits without a sign, a trace x1 of 7 "
        "bits to which a graded spike adds half of its\npayload, and which decays by "
        f"{fixed.decay} / 2^{DECAY_BITS} a step.",
        "## What the programs call\n\n```python\n" + PRIMITIVES.strip() + "\n```",
    ]
    for program in step_programs(fixed):
        parts.append(
            f"## {program.name}\n\n{program.about}\n\n"
            + _listing("state", program.states)
            + _listing("finds", program.inputs)
            + _listing("leaves", program.outputs)
            + f"\n```python\n{program.lines}\n```"
        )
    rows = [f"{name} = {value}" for name, value in found.items()]
    wrapped = "\n".join(textwrap.fill(row, 100, subsequent_indent="    ") for row in rows)
    parts.append(f"## Tables\n\n```python\n{wrapped}\n```")
    return "\n\n".join(parts) + "\n"


def _listing(title: str, rows: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"- {title} `{name}`: {meaning}\n" for name, meaning in rows)

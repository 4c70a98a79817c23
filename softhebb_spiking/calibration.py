"""Which gain gives a LIF circuit the temperature that is asked for: measured, not assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from softhebb_spiking.circuit import FittedTemperature, common_drive, fit_temperature
from softhebb_spiking.circuit_params import CircuitResult, CircuitRun, LifCircuitParams
from softhebb_spiking.params import FixedPointParams
from softhebb_spiking.validation import FloatArray, check_integer, check_real

Simulate = Callable[[CircuitRun], CircuitResult]

TEMPERATURES = (0.017, 0.03, 0.05, 0.08, 0.13, 0.24)  # a range that includes 0.02 to 0.2
_LARGEST_DRIVE = 1.0
_SPREAD = 6.0  # temperatures over which the drives of a sample differ at most
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.01, 0.4


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What temperature each gain gives, from the spikes of a circuit.

    Attributes
    ----------
    circuit : LifCircuitParams
        The circuit that was measured.
    gains : ndarray of shape (n_points,)
        Gains, falling.
    temperatures, standard_errors : ndarray of shape (n_points,)
        Temperatures measured at them, rising, and their errors.
    fixed : bool
        Whether in integers.
    """

    circuit: LifCircuitParams
    gains: FloatArray
    temperatures: FloatArray
    standard_errors: FloatArray
    fixed: bool

    def gain(self, temperature: float) -> float:
        """Return the gain that gives a temperature, by logarithmic interpolation.

        Raises
        ------
        ValueError
            If it lies outside the range that was measured.
        """
        check_real("temperature", temperature, 0.0, low_open=True)
        low, high = float(self.temperatures[0]), float(self.temperatures[-1])
        if not low <= temperature <= high:
            raise ValueError(
                f"temperature={temperature:g} lies outside the calibrated range "
                f"[{low:.4g}, {high:.4g}]; calibrate(..., temperatures=...) with values on both "
                "sides of it."
            )
        logs = np.interp(np.log(temperature), np.log(self.temperatures), np.log(self.gains))
        return float(np.exp(logs))

    def circuit_for(self, temperature: float) -> LifCircuitParams:
        """Return the circuit with the gain that gives a temperature; raises as `gain`."""
        return replace(self.circuit, gain=self.gain(temperature))

    def __str__(self) -> str:
        rows = zip(self.gains, self.temperatures, self.standard_errors, strict=True)
        lines = [f"{'gain':>10} {'temperature':>12} {'error':>9} {'gain·T':>8}"]
        lines += [f"{g:10.4g} {t:12.5f} {e:9.5f} {g * t:8.4f}" for g, t, e in rows]
        return "\n".join(lines)


def calibrate(
    circuit: LifCircuitParams,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    simulate: Simulate | None = None,
    fixed: FixedPointParams | None = None,
    n_drives: int = 20,
    n_steps: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Measure the temperature of a circuit at a few gains.

    The circuit is shown random drives, clamped; its temperature is the one at which softmax
    explains the spikes of its populations best.

    Parameters
    ----------
    circuit : LifCircuitParams
        The circuit; its gain is not used.
    temperatures : sequence of float
        At whose reciprocals the gain is tried; choose them on both sides of what will be asked for.
    simulate : callable, optional
        Runs a `CircuitRun`; by default the circuit of stock Lava Processes.
    fixed : FixedPointParams, optional
        Calibrate the integers of a chip.
    n_drives, n_steps : int
        Samples, and steps for which each is read.
    seed : int
        Of the drives and the spikes.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If there are less than two temperatures, one lies outside [0.01, 0.4], the circuit did not
        fire, or what was measured does not rise.
    """
    if len(temperatures) < 2:
        raise ValueError(f"temperatures must be at least two, got {len(temperatures)}.")
    check_integer("n_units", circuit.n_units, 2)
    check_integer("n_drives", n_drives, 2)
    check_integer("n_steps", n_steps, 1)
    for temperature in temperatures:
        check_real("temperatures", temperature, _MIN_TEMPERATURE, _MAX_TEMPERATURE)
    if simulate is None:
        from softhebb_spiking.backends import lava_circuit

        simulate = lava_circuit.simulate
    gains = 1.0 / np.sort(np.asarray(temperatures, np.float64))
    fits = []
    for gain in gains:
        tried = replace(circuit, gain=float(gain), n_steps=n_steps)
        fits.append(measure_temperature(tried, simulate, fixed, n_drives=n_drives, seed=seed))
    measured = np.array([fit.value for fit in fits])
    if not (np.diff(measured) > 0.0).all():
        raise ValueError(
            f"The temperatures measured, {measured.round(4).tolist()}, do not rise with those "
            f"asked for; space temperatures wider, or raise n_drives={n_drives} and "
            f"n_steps={n_steps}."
        )
    return Calibration(
        circuit=circuit,
        gains=gains,
        temperatures=measured,
        standard_errors=np.array([fit.standard_error for fit in fits]),
        fixed=fixed is not None,
    )


def measure_temperature(
    circuit: LifCircuitParams,
    simulate: Simulate,
    fixed: FixedPointParams | None = None,
    *,
    n_drives: int = 20,
    seed: int = 0,
) -> FittedTemperature:
    """Return the temperature of a circuit as it is.

    Parameters
    ----------
    circuit, simulate, fixed, n_drives, seed
        As for `calibrate`.

    Returns
    -------
    FittedTemperature
    """
    drives = random_drives(n_drives, circuit.n_units, 1.0 / circuit.gain, seed)
    common = common_drive(drives, 1.0 / circuit.gain)
    run = CircuitRun(
        circuit=replace(circuit, common_drive=common),
        weights=np.zeros((circuit.n_units, circuit.n_features)),
        drives=drives,
        fixed=fixed,
        seed=seed,
    )
    return fit_temperature(drives, simulate(run).spike_counts)


def random_drives(n_drives: int, n_units: int, temperature: float, seed: int) -> FloatArray:
    """Return drives that softmax at a temperature tells apart, but not without doubt.

    Uniform over six temperatures, or over [0, 1] if that is less, with a mean that differs by
    sample as widely as [0, 1] allows.
    """
    generator = np.random.default_rng([seed, 3])
    spread = min(_LARGEST_DRIVE, _SPREAD * temperature)
    lowest = generator.uniform(0.5, 1.0, size=(n_drives, 1)) * (_LARGEST_DRIVE - spread)
    return np.asarray(lowest + generator.uniform(0.0, spread, size=(n_drives, n_units)))

"""What every rung hands back to the user: spikes, counts, final state and where they came from."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.params import NetworkParams, Run, RunResult
from softhebb_spiking.validation import FloatArray, IntArray

if TYPE_CHECKING:
    import neo


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A run of a spiking network, the same from every backend.

    Attributes
    ----------
    params : NetworkParams
        The network.
    backend : str
        The rung that ran it.
    seed : int
        Key of the random numbers.
    input_spikes, output_spikes : ndarray of shape (n_spikes, 3)
        Rows (sample, step, index), sorted. Steps count from the onset of the sample, settling
        included; several spikes of a population in one step are several rows.
    spike_counts : ndarray of shape (n_samples, n_units)
        Output spikes in the steps that are read (step >= settle_steps).
    weights : ndarray of shape (n_units, n_features)
        Weights at the end.
    log_prior : ndarray of shape (n_units,)
        Log prior at the end, nats.
    drive : ndarray of shape (n_samples, n_steps, n_units) or None
        u in the steps that are read; row j is step settle_steps + j. None unless probed.
    inhibition : ndarray of shape (n_samples, n_steps) or None
        h, nats, likewise.
    psp : ndarray of shape (n_samples, n_steps, n_features) or None
        s, likewise.
    """

    params: NetworkParams
    backend: str
    seed: int
    input_spikes: IntArray
    output_spikes: IntArray
    spike_counts: IntArray
    weights: FloatArray
    log_prior: FloatArray
    drive: FloatArray | None = field(default=None)
    inhibition: FloatArray | None = field(default=None)
    psp: FloatArray | None = field(default=None)

    @classmethod
    def from_result(cls, run: Run, result: RunResult, backend: str) -> Recording:
        """Return the recording of a finished run."""
        return cls(
            params=run.network,
            backend=backend,
            seed=run.seed,
            input_spikes=result.input_spikes,
            output_spikes=result.output_spikes,
            spike_counts=result.spike_counts,
            weights=result.weights,
            log_prior=result.log_prior,
            **result.probes,
        )

    def save(self, path: str | Path) -> None:
        """Write everything to a compressed .npz file (arrays, and parameters as JSON).

        The file has the name as given, and appears whole or not at all.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        arrays = {
            name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        header = {"backend": self.backend, "seed": self.seed, "params": asdict(self.params)}
        text = json.dumps(header, default=lambda number: number.item())
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"cannot write {target}: {target.parent} is no folder; make it first."
            )
        scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with scratch.open("wb") as file:  # given a name, numpy would append a suffix
                np.savez_compressed(file, header=text, **arrays)
            os.replace(scratch, target)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording written by `save`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        """
        with np.load(Path(path), allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files if name != "header"}
            header = json.loads(str(file["header"]))
        params = NetworkParams(**header["params"])
        return cls(params=params, backend=header["backend"], seed=header["seed"], **arrays)

    def to_neo(self) -> neo.Block:
        """Return a `neo.Block`: one segment per sample, one spike train per output population.

        Returns
        -------
        neo.Block
            Spike times in ms from the onset of the sample, at the end of their step.

        Raises
        ------
        ImportError
            If neo is not installed.
        """
        try:
            import neo
        except ImportError as error:
            raise ImportError('to_neo needs neo: pip install "softhebb-spiking[neo]"') from error

        duration = self.params.presentation_steps * self.params.dt_ms
        block = neo.Block(name=f"softhebb-spiking, {self.backend}", seed=self.seed)
        for sample in range(len(self.spike_counts)):
            segment = neo.Segment(name=f"sample {sample}", index=sample)
            rows = self.output_spikes[self.output_spikes[:, 0] == sample]
            for unit in range(self.params.n_units):
                times = (rows[rows[:, 2] == unit, 1] + 1) * self.params.dt_ms
                train = neo.SpikeTrain(
                    times, units="ms", t_start=0.0, t_stop=duration, name=f"unit {unit}"
                )
                segment.spiketrains.append(train)
            block.segments.append(segment)
        return block

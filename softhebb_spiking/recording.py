"""What every rung hands back to the user: spikes, counts, final state and where they came from."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking._untrusted import EXPANSION, parse_json, read_npz
from softhebb_spiking.params import PROBES, NetworkParams, Run, RunResult
from softhebb_spiking.serialization import write_whole
from softhebb_spiking.validation import MAX_KEY, FloatArray, IntArray, check_integer

if TYPE_CHECKING:
    import neo

_FORMAT = "softhebb-spiking recording 1"
_INTEGERS = ("input_spikes", "output_spikes", "spike_counts")
_ARRAYS = (*_INTEGERS, "weights", "log_prior")


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
        header = {
            "format": _FORMAT,
            "backend": self.backend,
            "seed": self.seed,
            "params": asdict(self.params),
        }
        text = json.dumps(header, default=lambda number: number.item())
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"cannot write {target}: {target.parent} is no folder; make it first."
            )
        content = io.BytesIO()
        np.savez_compressed(content, header=text, **arrays)
        n_bytes = sum(array.nbytes for array in arrays.values())
        if n_bytes > EXPANSION * len(content.getbuffer()):  # else it would be taken for a bomb
            content = io.BytesIO()
            np.savez(content, header=text, **arrays)
        write_whole(target, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording written by `save`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, or no recording; nothing in it is ever executed.
        """
        arrays: dict[str, Any] = read_npz(path)
        missing = {"header", *_ARRAYS} - set(arrays)
        unknown = set(arrays) - {"header", *_ARRAYS, *PROBES}
        if missing or unknown:
            raise ValueError(
                f"{path} is no recording of this package: it "
                + (f"lacks {', '.join(sorted(missing))}" if missing else "")
                + (" and " if missing and unknown else "")
                + (f"holds {', '.join(sorted(unknown))}" if unknown else "")
                + ". Recordings are written by Recording.save."
            )
        header = _header_of(path, arrays.pop("header"))
        recording = cls(**header, **arrays)
        recording._check_shapes(path)
        recording._check_values(path)
        return recording

    def _check_shapes(self, path: str | Path) -> None:
        net, n_samples = self.params, _length(self.spike_counts)
        widths = {"drive": (net.n_units,), "inhibition": (), "psp": (net.n_features,)}
        expected: dict[str, tuple[int, ...]] = {
            "input_spikes": (_length(self.input_spikes), 3),
            "output_spikes": (_length(self.output_spikes), 3),
            "spike_counts": (n_samples, net.n_units),
            "weights": (net.n_units, net.n_features),
            "log_prior": (net.n_units,),
            **{name: (n_samples, net.n_steps, *width) for name, width in widths.items()},
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            kind = "i" if name in _INTEGERS else "f"
            if values is not None and (values.shape != shape or values.dtype.kind != kind):
                raise ValueError(
                    f"{path} is damaged: {name} must have shape {shape} and hold "
                    f"{'integers' if kind == 'i' else 'floats'}, got shape {values.shape} and "
                    f"dtype {values.dtype}."
                )

    def _check_values(self, path: str | Path) -> None:
        net, n_samples = self.params, len(self.spike_counts)
        for name, size in (("input_spikes", net.n_features), ("output_spikes", net.n_units)):
            spikes, limits = getattr(self, name), (n_samples, net.presentation_steps, size)
            if ((spikes < 0) | (spikes >= np.array(limits, np.float64))).any():
                raise ValueError(
                    f"{path} is damaged: {name} must lie in (sample, step, index) < {limits}."
                )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.log_prior).all()):
            raise ValueError(f"{path} is damaged: weights and log_prior must be finite.")
        if (self.spike_counts < 0).any():
            raise ValueError(f"{path} is damaged: spike_counts must not be negative.")

    def to_neo(
        self,
        *,
        labels: Iterable[Any] | None = None,
        inputs: bool = True,
        first_sample: int = 0,
    ) -> neo.Block:
        """Return a `neo.Block`: one segment per sample, one spike train per population and input.

        Parameters
        ----------
        labels : iterable, optional
            A label for each sample, kept as an annotation of its segment.
        inputs : bool
            Whether inputs get spike trains too; there may be many of them.
        first_sample : int
            Number of the first sample, for a part of a longer recording.

        Returns
        -------
        neo.Block
            Spike times in ms from the onset of the sample, at the end of their step; several
            spikes of a population in one step are several equal times. Annotations and epochs are
            described in `docs/recordings.md`.

        Raises
        ------
        ValueError
            If there is not one label for each sample.
        ImportError
            If neo is not installed.
        """
        from softhebb_spiking._neo_block import block_of

        return block_of(self, labels=labels, inputs=inputs, first_sample=first_sample)


def _length(array: IntArray) -> int:
    return len(array) if array.ndim else 0


def _header_of(path: str | Path, text: Any) -> dict[str, Any]:
    """Return parameters, backend and seed from the JSON of a file."""
    try:
        header = parse_json(str(text))
        found = header.get("format", _FORMAT)
        if found != _FORMAT:
            raise ValueError(f"its format is {found!r}, expected {_FORMAT!r}")
        missing = {"backend", "seed", "params"} - set(header)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        params = NetworkParams(**header["params"])
        check_integer("seed", header["seed"], 0, MAX_KEY)
        if not isinstance(header["backend"], str):
            raise TypeError(f"backend must be a name, got {header['backend']!r}")
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no recording: in its header {error}") from error
    return {"params": params, "backend": header["backend"], "seed": header["seed"]}

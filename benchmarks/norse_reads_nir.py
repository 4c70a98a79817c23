"""Run a NIR graph in Norse on given spikes; imports nothing of this package.

    python benchmarks/norse_reads_nir.py circuit.nir spikes.npz counts.npy

The environment needs `pip install torch norse nirtorch nir`.
"""

import sys
import warnings

import nir
import numpy as np
import torch

warnings.simplefilter("ignore")
import norse.torch  # noqa: E402


def main(graph_file: str, spikes_file: str, counts_file: str) -> None:
    """Step through the spikes, and write what the populations counted."""
    torch.set_default_dtype(torch.float64)
    given = np.load(spikes_file)
    module = norse.torch.from_nir(nir.read(graph_file), dt=float(given["dt_s"])).double()
    state, counts = None, []
    with torch.no_grad():
        for spikes in torch.from_numpy(given["spikes"]).double():
            _, state = module(spikes, state)
            counts.append(state.cache["populations"].numpy())
    np.save(counts_file, np.array(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])

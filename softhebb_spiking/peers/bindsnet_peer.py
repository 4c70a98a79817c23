"""BindsNET's network of Diehl and Cook on the same images; its plasticity is its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from softhebb_spiking.peers.workload import (
    N_STEPS,
    Workload,
    input_rate,
    rates_and_gains,
    timed,
)

_SHAPE = (1, 28, 28)


def bindsnet(work: Workload) -> dict[str, Any]:
    """Time `DiehlAndCook2015` at batch size 1."""
    import torch
    from bindsnet.models import DiehlAndCook2015

    torch.set_num_threads(1)
    torch.manual_seed(work.seed)
    model, X = work.model(), work.images()
    probabilities = torch.from_numpy(rates_and_gains(model, X)[0]).float()
    network = DiehlAndCook2015(
        n_inpt=784, n_neurons=work.n_units, dt=1.0, norm=78.4, inpt_shape=_SHAPE
    )
    network.train(mode=work.learn)

    def run() -> None:
        for p in probabilities:
            spikes = torch.rand(N_STEPS, 784) < p
            network.run({"X": spikes.view(N_STEPS, 1, *_SHAPE)}, time=N_STEPS)
            network.reset_state_variables()

    run()
    return timed(run, len(X), n_runs=3) | {
        "peer": "BindsNET DiehlAndCook2015, batch 1",
        **asdict(work),
        "input_rate": input_rate(model, X[:50]),
        "output_rate": None,
    }

"""One measurement in a process of its own: `python -m softhebb_spiking.peers.worker JSON`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from softhebb_spiking.peers import ours
from softhebb_spiking.peers.bindsnet_peer import bindsnet
from softhebb_spiking.peers.brian2_softhebb import brian2
from softhebb_spiking.peers.limits import limits
from softhebb_spiking.peers.workload import Workload

JOBS: dict[str, Callable[..., Any]] = {
    "event": ours.event,
    "lava": ours.lava,
    "rate": ours.rate,
    "brian2": brian2,
    "bindsnet": bindsnet,
    "limits": limits,
    "threads": ours.threads,
    "growth": ours.growth,
    "compile": ours.compiling,
}


def main(argument: str) -> None:
    """Do a job and print what it found."""
    job = json.loads(argument)
    options = job["options"]
    if "work" in options:
        options["work"] = Workload(**options["work"])
    found = JOBS[job["name"]](**options)
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main(sys.argv[1])

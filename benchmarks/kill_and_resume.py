"""Kill a training at random moments, go on, and compare the end with an uninterrupted one.

python benchmarks/kill_and_resume.py --kills 20 --seed 0
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from softhebb_spiking import load_model
from softhebb_spiking.checkpoint import read_checkpoint

TRAIN = (
    "-c",
    "from softhebb_spiking.cli import main; main()",
    "train",
    "--dataset",
    "mnist",
    "--checkpoint-every",
    "1000",
    "--resume",
)


def main(
    kills: Annotated[int, typer.Option(help="how often the training is killed")] = 20,
    units: Annotated[int, typer.Option(help="units of the network")] = 100,
    samples: Annotated[int, typer.Option(help="samples that it learns from")] = 20_000,
    arithmetic: Annotated[str, typer.Option(help="float or fixed")] = "float",
    seed: Annotated[int, typer.Option(help="of the moments")] = 0,
) -> None:
    """Print what was lost: nothing, or exit status 1."""
    options = [f"--units={units}", f"--samples={samples}", f"--arithmetic={arithmetic}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        subprocess.run(_command(folder, "whole", options), check=True, capture_output=True)
        elapsed_s = time.monotonic() - started
        rng, n_killed = np.random.default_rng(seed), 0
        while n_killed < kills:
            process = subprocess.Popen(
                _command(folder, "killed", options), stdout=subprocess.DEVNULL
            )
            # Anywhere between the start of the process and the end of a training.
            time.sleep(rng.uniform(0.0, elapsed_s))
            n_killed += process.poll() is None
            process.kill()
            process.wait()
            if process.returncode == 0:  # it came to its end: begin a new one
                (folder / "killed.ckpt").unlink()
            elif (folder / "killed.ckpt").exists():
                read_checkpoint(folder / "killed.ckpt")  # raises if it is not whole
        subprocess.run(_command(folder, "killed", options), check=True, capture_output=True)
        one, other = (load_model(folder / f"{name}.safetensors") for name in ("whole", "killed"))
        same = np.array_equal(one.weights_, other.weights_)
        left = sorted(item.name for item in folder.iterdir() if item.name.startswith("."))
    verdict = "the same bits" if same else "OTHER WEIGHTS"
    typer.echo(f"killed {n_killed} times: {verdict}, left behind: {left or 'nothing'}")
    sys.exit(0 if same and not left else 1)


def _command(folder: Path, name: str, options: list[str]) -> list[str]:
    files = [f"--output={folder / name}.safetensors", f"--checkpoint={folder / name}.ckpt"]
    return [sys.executable, *TRAIN, *files, *options]


if __name__ == "__main__":
    typer.run(main)

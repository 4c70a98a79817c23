"""The command `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from softhebb_spiking import bench as benchmarks
from softhebb_spiking._options import (
    DatasetOption,
    JsonOption,
    RootOption,
    SeedOption,
    console,
    print_json,
    split_names,
)
from softhebb_spiking.data import load_dataset
from softhebb_spiking.validation import check_choice, check_integer, check_real

BENCHMARKS = ("peers", "accuracy", "speed", "updates", "bits", "lava", "budget")
_PEER_SIZES = "100,400,1600"


def bench(
    what: Annotated[str, typer.Argument(help=f"one of {', '.join(BENCHMARKS)}")],
    dataset: DatasetOption = "mnist",
    units: Annotated[
        str, typer.Option(help="units of the network; of peers: sizes, 100,400,1600")
    ] = "",
    seeds: Annotated[int, typer.Option(help="how many seeds, from 0")] = 3,
    only: Annotated[
        str, typer.Option(help="peers: which, e.g. event,brian2-cpp; default all")
    ] = "",
    output: Annotated[Path, typer.Option(help="peers: folder of JSON and pictures")] = Path(
        "benchmark"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="peers: few images")] = False,
    time_limit: Annotated[float, typer.Option(help="peers: of each measurement, s")] = 300.0,
    as_json: JsonOption = False,
    seed: SeedOption = 0,
    data_root: RootOption = None,
) -> None:
    """Measure: peers on the same work, accuracy, speed, Lava against event, cost of roundings."""
    check_choice("what", what, BENCHMARKS)
    if what == "peers":
        sizes = [_size(text) for text in (units or _PEER_SIZES).split(",")]
        _bench_peers(sizes, only, output, time_limit, seed, quick=quick, as_json=as_json)
        return
    n_units = _size(units or "100")
    check_integer("seeds", seeds, 1)
    data = load_dataset(dataset, root=data_root)
    lines = getattr(benchmarks, what)(data, n_units, seeds)
    if as_json:
        print_json({"conditions": benchmarks.conditions(), what: list(lines)})
        return
    console.print(benchmarks.conditions())
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _size(text: str) -> int:
    number = text.strip()
    if not number.isdecimal():
        raise ValueError(f"units must be an integer >= 1, got {number!r}.")
    return check_integer("units", int(number), 1)


def _bench_peers(
    sizes: list[int],
    only: str,
    output: Path,
    time_limit_s: float,
    seed: int,
    *,
    quick: bool,
    as_json: bool,
) -> None:
    from softhebb_spiking.peers import PEERS, measure, write_report
    from softhebb_spiking.peers.report import tables

    chosen = split_names(only) if only else PEERS
    for name in chosen:
        check_choice("only", name, PEERS)
    check_real("time_limit", time_limit_s, 0.0, low_open=True)
    check_integer("seed", seed, 0)
    with Console(stderr=True).status("measuring") as status:
        found = measure(
            sizes,
            peers=chosen,
            quick=quick,
            time_limit_s=time_limit_s,
            seed=seed,
            progress=lambda what: status.update(f"measuring {what}"),
        )
    paths = write_report(found, output)
    if as_json:
        print_json(found)
        return
    facts = found["conditions"]
    console.print(
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, load {facts['load']:.1f}",
        soft_wrap=True,
    )
    wide = Console(highlight=False, width=max(console.width, 160))
    for table in tables(found):
        wide.print(table)
    for path in paths:
        console.print(f"written: {path.resolve()}", soft_wrap=True)

"""A run of the benchmark as JSON, as tables and as two pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from softhebb_spiking.serialization import write_whole

_REFERENCE = "Brian2, cpp_standalone"
_GREYS = ("#1b1b1b", "#5a7fa8", "#8f8f8f", "#b07d4f", "#6a9a6a", "#9a6a9a", "#c4c4c4", "#4f4f8f")
_MARKS = "osD^vPX*"


def write_report(found: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write `benchmark.json`, `speed.png` and `growth.png`.

    Parameters
    ----------
    found : dict
        From `measure`.
    folder : str or Path
        Made if it does not exist.

    Returns
    -------
    list of Path
        What was written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / "benchmark.json"]
    write_whole(paths[0], json.dumps(found, indent=2).encode())
    figures = {"speed.png": speed_figure(found) if found["rows"] else None}
    figures["growth.png"] = growth_figure(found) if "growth" in found else None
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(target / name, dpi=120)
            paths.append(target / name)
    return paths


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """Yield the numbers as tables: speeds, limits, threads, growth, compiling."""
    if found["rows"]:
        yield _speed_table(found)
    if "limits" in found:
        table = Table("K", "20 rows, float32 µs", "20 rows, int8 µs", title="limits")
        limits = found["limits"]
        for size, us in limits["gather_float32_us"].items():
            table.add_row(size, f"{us:.2f}", f"{limits['gather_int8_us'][size]:.2f}")
        table.caption = f"triad {limits['triad_gb_per_s']:.1f} GB/s"
        yield table
    if "threads" in found:
        table = Table("K", "work", "1 thread, images/s", "2 threads", "×", "same bits")
        for row in found["threads"]:
            work, bits = ("learning" if row["learn"] else "frozen"), str(row["same_bits"])
            paces = [f"{pace:.0f}" for pace in row["images_per_s"]]
            table.add_row(str(row["n_units"]), work, *paces, f"{row['speedup']:.2f}", bits)
        yield table
    if "growth" in found:
        table = Table("of", "sizes", "µs per image", "exponent", title="growth")
        for row in found["growth"]:
            sizes, costs = ", ".join(map(str, row["sizes"])), [f"{us:.0f}" for us in row["us"]]
            table.add_row(row["what"], sizes, ", ".join(costs), f"{row['exponent']:.2f}")
        yield table
    if "compile" in found:
        table = Table("first call, first process, s", "later process, s", title="compiling")
        table.add_row(f"{found['compile']['first_s']:.1f}", f"{found['compile']['later_s']:.2f}")
        yield table


def ratios(found: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    """Return how a row compares: with Brian2 in C++ on the same work, and with the limit."""
    compared = {}
    for other in found["rows"]:
        same = all(other[name] == row[name] for name in ("n_units", "inhibition", "learn"))
        if other["peer"] == _REFERENCE and same:
            compared["to_brian2_cpp"] = row["images_per_s"] / other["images_per_s"]
    us = row.get("gather_us")
    if us is not None and not row["learn"]:
        compared["of_gather_limit"] = row["images_per_s"] * 100 * us / 1e6
    return compared


def _speed_table(found: dict[str, Any]) -> Table:
    names = ("K", "inhibition", "work", "peer", "images/s", "quartiles", "spikes/step in, out")
    table = Table(*names, "× Brian2 C++", "of the limit", "load")
    for row in sorted(found["rows"], key=_place):
        compared = ratios(found, row)
        rates = [row.get("input_rate"), row.get("output_rate")]
        ratio, share = compared.get("to_brian2_cpp"), compared.get("of_gather_limit")
        table.add_row(
            str(row["n_units"]),
            row["inhibition"],
            "learning" if row["learn"] else "frozen",
            row["peer"],
            _brief(row["images_per_s"]),
            " – ".join(_brief(pace) for pace in row["quartiles"]),
            ", ".join("–" if value is None else f"{value:.2f}" for value in rates),
            "–" if ratio is None else f"{ratio:.1f}",
            "–" if share is None else f"{100 * share:.0f} %",
            f"{row['load']:.1f}",
        )
    for label, reason in found["absent"].items():
        table.add_row("", "", "", label, "absent", reason, "", "", "", "")
    return table


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["n_units"], row["inhibition"], not row["learn"], -row["images_per_s"]


def _brief(pace: float) -> str:
    return f"{pace:.0f}" if pace >= 10 else f"{pace:.2g}"


def speed_figure(found: dict[str, Any]) -> Figure:
    """Draw images per second by peer and K, learning and not."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    peers = list(dict.fromkeys(row["peer"] for row in found["rows"]))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, learn in zip(panels, (True, False), strict=True):
        for number, peer in enumerate(peers):
            rows = [
                row
                for row in sorted(found["rows"], key=_place)
                if (row["peer"], row["learn"], row["inhibition"]) == (peer, learn, "exact")
            ]
            axes.plot(
                [row["n_units"] for row in rows],
                [row["images_per_s"] for row in rows],
                marker=_MARKS[number % len(_MARKS)],
                color=_GREYS[number % len(_GREYS)],
                label=peer,
            )
        axes.set(xscale="log", yscale="log", xlabel="units K")
        axes.set_title("learning" if learn else "not learning", fontsize=10)
        sizes = sorted({row["n_units"] for row in found["rows"]})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("images of 100 steps per second")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def growth_figure(found: dict[str, Any]) -> Figure:
    """Draw cost against K, steps and active inputs."""
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    panels = figure.subplots(1, len(found["growth"]), sharey=True)
    for axes, row in zip(panels, found["growth"], strict=True):
        axes.plot(row["sizes"], row["us"], "o-", color=_GREYS[0])
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel(row["what"].replace("n_units", "units K").replace("n_steps", "steps T"))
        axes.set_title(f"exponent {row['exponent']:.2f}", fontsize=10)
        axes.set_xticks(row["sizes"], [str(size) for size in row["sizes"]], rotation=45)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("µs per image, learning")
    return figure

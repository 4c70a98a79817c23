"""Draw the diagram of Processes: `python docs/diagrams.py` writes `processes.svg` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

OWN, STOCK, HOST = "#d7e7f7", "#eeeeee", "#fbf0d5"
INK, SIGNAL, LEARN, INHIBIT = "#222222", "#222222", "#1f6f3f", "#b03030"
plt.rcParams.update({"svg.hashsalt": "processes", "font.size": 10, "text.color": INK})


def box(axes: Any, x: float, y: float, size: tuple[float, float], text: str, colour: str) -> None:
    """Draw a Process around a point; the first line of its text is its name."""
    width, height = size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=colour,
            edgecolor=INK,
            linewidth=1.0,
        )
    )
    name, *lines = text.split("\n")
    top = y + 0.17 * len(lines)
    axes.text(x, top, name, ha="center", va="center", weight="bold", size=11)
    for number, line in enumerate(lines, start=1):
        axes.text(x, top - 0.34 * number, line, ha="center", va="center", size=9)


def arrow(
    axes: Any,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    *,
    at: tuple[float, float] = (0.0, 0.0),
    colour: str = SIGNAL,
    dashed: bool = False,
) -> None:
    """Draw a connection, its text `at` a distance from its middle."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            shrinkA=0,
            shrinkB=0,
            color=colour,
            linewidth=1.4,
            linestyle="--" if dashed else "-",
        )
    )
    middle = ((start[0] + end[0]) / 2 + at[0], (start[1] + end[1]) / 2 + at[1])
    axes.text(*middle, text, color=colour, size=9, ha="center", va="center", linespacing=1.3)


def draw_layer(axes: Any) -> None:
    """Draw `SoftHebbNetwork`: encoder, layer and counter."""
    axes.add_patch(
        FancyBboxPatch(
            (3.05, -1.75),
            8.1,
            5.9,
            boxstyle="round,pad=0,rounding_size=0.2",
            facecolor="white",
            edgecolor="#4477aa",
            linewidth=1.4,
            linestyle=(0, (5, 3)),
        )
    )
    axes.text(3.3, 3.82, "SoftHebbLayer", weight="bold", size=12, color="#33608c", va="center")
    box(axes, 0.7, 1.6, (2.2, 1.6), "RateEncoder\nsamples x → spikes\nP = p_max x/max(x)", OWN)
    box(axes, 4.9, 1.6, (2.5, 1.6), "LearningDense\nor PlasticDense\nw, trace s (Lava's x1)", STOCK)
    box(axes, 9.3, 1.6, (2.7, 1.6), "SoftWTA\nK populations of M neurons\nu, log prior b", OWN)
    box(axes, 9.3, -0.95, (2.7, 1.1), "LateralInhibition\nthe pool: h, trend v", OWN)
    box(axes, 4.9, -0.95, (2.5, 1.1), "SynapseManager\nresets s between samples", HOST)
    box(axes, 13.6, 1.6, (2.0, 1.6), "SpikeCounter\ncounts per sample", HOST)
    arrow(axes, (1.8, 1.6), (3.65, 1.6), "spikes,\npayload g", at=(-0.32, 0.42))
    arrow(axes, (6.15, 1.35), (7.95, 1.35), "current a_k", at=(0, -0.22))
    arrow(axes, (7.95, 1.85), (6.15, 1.85), "y1 = η_s n_k\ny2 = u_k", at=(0, 0.42), colour=LEARN)
    arrow(axes, (10.65, 1.6), (12.6, 1.6), "spikes\nn_k", at=(0.3, 0.42))
    arrow(axes, (8.9, 0.8), (8.9, -0.4), "spikes n_k", at=(-0.75, 0))
    arrow(axes, (9.7, -0.4), (9.7, 0.8), "h, N", at=(0.45, 0), colour=INHIBIT)
    arrow(axes, (4.9, -0.4), (4.9, 0.8), "s ← 0", at=(-0.5, 0), dashed=True)
    axes.text(
        9.3,
        3.05,
        "each neuron fires with\nmin(1, (r/M) exp(u_k/τ + b_k − h))",
        ha="center",
        va="center",
        size=9.5,
    )
    axes.text(4.9, 3.05, "Δw = y1 s − y1 y2 w", ha="center", va="center", size=9.5, color=LEARN)


def draw_circuit(axes: Any) -> None:
    """Draw `LifCircuit`, with the dendrites of its three-factor rule."""
    box(axes, 0.7, 0, (2.2, 1.1), "RingBuffer\ninput spikes", STOCK)
    box(axes, 4.9, 0, (2.5, 1.1), "LearningDense\nw, trace s", STOCK)
    box(axes, 8.6, 0, (2.2, 1.1), "Dendrite\nrelays × gain; u_k", OWN)
    box(axes, 12.6, 0, (2.4, 1.1), "LIF\nK populations of M", STOCK)
    box(axes, 8.6, -2.4, (2.2, 1.1), "LIF\ninhibitory pool", STOCK)
    box(axes, 12.6, -2.4, (2.4, 1.1), "RingBuffer\nbackground spikes", STOCK)
    arrow(axes, (1.8, 0), (3.65, 0), "spikes", at=(0, 0.2))
    arrow(axes, (6.15, -0.17), (7.5, -0.17), "current", at=(0, -0.2))
    arrow(axes, (7.5, 0.17), (6.15, 0.17), "y1, y2", at=(0, 0.2), colour=LEARN)
    arrow(axes, (9.7, 0.17), (11.4, 0.17), "graded spikes", at=(0, 0.2))
    arrow(axes, (11.4, -0.17), (9.7, -0.17), "counts", at=(0, -0.2), colour=LEARN)
    arrow(axes, (11.7, -0.55), (9.7, -2.1), "spikes", at=(-0.45, 0.12))
    arrow(axes, (9.7, -2.55), (12.2, -0.55), "inhibition", at=(0.0, -0.75), colour=INHIBIT)
    arrow(axes, (12.9, -1.85), (12.9, -0.55), "noise,\nexponential", at=(0.65, 0))
    bend = {"connectionstyle": "angle,angleA=90,angleB=180,rad=8", "arrowstyle": "-|>"}
    axes.add_patch(
        FancyArrowPatch(
            (0.7, -0.55), (7.5, -2.4), **bend, mutation_scale=13, shrinkA=0, shrinkB=0, lw=1.4
        )
    )
    axes.text(4.1, -2.2, "spikes: feed-forward inhibition", size=9, ha="center", va="center")


def legend(axes: Any) -> None:
    """Say what the colours mean."""
    for x, colour, text in (
        (-0.35, OWN, "needs a neuron program on a chip"),
        (4.6, STOCK, "stock (PlasticDense: the learning engine)"),
        (10.2, HOST, "on the host"),
    ):
        axes.add_patch(
            FancyBboxPatch((x, -0.15), 0.4, 0.3, boxstyle="round,pad=0", fc=colour, ec=INK)
        )
        axes.text(x + 0.55, 0, text, va="center", size=9.5)


def main() -> None:
    """Write the diagram."""
    figure, (layer, circuit, key) = plt.subplots(
        3, figsize=(12, 8.9), height_ratios=[6.3, 4.0, 0.6], facecolor="white"
    )
    for axes, low, high in ((layer, -1.9, 4.4), (circuit, -3.1, 0.9), (key, -0.3, 0.3)):
        axes.set(xlim=(-0.6, 14.8), ylim=(low, high), aspect="equal")
        axes.axis("off")
    layer.set_title("SoftHebbNetwork: the layer between its encoder and its counter", loc="left")
    circuit.set_title("LifCircuit: the layer of stock neurons, three-factor rule", loc="left")
    draw_layer(layer)
    draw_circuit(circuit)
    legend(key)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("processes.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()

"""A network on the cores of chips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softhebb_spiking.plots.style import canvas
from softhebb_spiking.validation import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CHIPS = 16
_CHIPS_PER_ROW = 4
_CORES_PER_ROW = 16
_GAP_X, _GAP_Y = 1.5, 2.6  # between chips, in cores
_EMPTY = "#F2F2F2"
_OVER = "#B00020"
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_HATCHES = ("", "////", "....", "xxxx")


def core_map(plan: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the cores that a plan needs, one small square each, chip by chip.

    Parameters
    ----------
    plan : Plan
        From `softhebb_spiking.deployment.plan`; of many chips the first `MAX_CHIPS` are drawn.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Colour and hatching are the population, depth of colour how full the core is by its
        scarcest resource; a core that is over its limits has a red edge. Coordinates are cores.
    """
    from matplotlib.patches import Patch

    per_chip = int(plan.chip.limit("cores_per_chip"))
    names = list(dict.fromkeys(core.population for core in plan.cores))
    n_shown = min(plan.n_chips, MAX_CHIPS)
    columns, chip_rows = min(n_shown, _CHIPS_PER_ROW), -(-n_shown // _CHIPS_PER_ROW)
    high = -(-per_chip // _CORES_PER_ROW)
    width = columns * (_CORES_PER_ROW + _GAP_X) - _GAP_X
    height = chip_rows * (high + _GAP_Y)
    first = 1.4 if n_shown > 1 else 0.0  # room for the name of a chip
    inch = 0.26 if columns == 1 else 0.14
    with canvas(ax, 0.2 + inch * width, 0.75 + inch * (height - _GAP_Y + first)) as axes:
        axes.set(xlim=(0, width), ylim=(height, _GAP_Y - first), aspect="equal")
        axes.set_axis_off()
        for number, cores in enumerate(plan.chips[:n_shown]):
            row, column = divmod(number, _CHIPS_PER_ROW)
            left = column * (_CORES_PER_ROW + _GAP_X)
            top = row * (high + _GAP_Y) + _GAP_Y
            if n_shown > 1:
                axes.text(left, top - 0.4, f"chip {number + 1}", fontsize=8.0)
            _chip(axes, plan, cores, names, (left, top))
        handles = [
            Patch(facecolor=_COLORS[i % 4], hatch=_HATCHES[i % 4], edgecolor="white", label=name)
            for i, name in enumerate(names)
        ]
        handles.append(Patch(facecolor=_EMPTY, label="empty"))
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
        axes.legend(handles=handles, ncols=len(handles), **place)
        axes.set_title(_title(plan, n_shown))
    return axes


def _title(plan: Any, n_shown: int) -> str:
    chips = "1 chip" if plan.n_chips == 1 else f"{plan.n_chips} chips"
    more = f" (the first {n_shown} shown)" if n_shown < plan.n_chips else ""
    verdict = ", does not fit" if plan.violations else ""
    return f"{plan.chip.name}: {len(plan.cores)} cores on {chips}{more}{verdict}; darker is fuller"


def _chip(
    axes: Axes, plan: Any, cores: list[Any], names: list[str], corner: tuple[float, float]
) -> None:
    """Draw the cores of one chip, the used ones first."""
    from matplotlib.patches import Rectangle

    limits = {name: size["limit"] for name, size in plan.usage().items()}
    for place in range(int(plan.chip.limit("cores_per_chip"))):
        row, column = divmod(place, _CORES_PER_ROW)
        look: dict[str, Any] = {"facecolor": _EMPTY, "edgecolor": "white"}
        if place < len(cores):
            core = cores[place]
            kind = names.index(core.population) % 4
            fill = max(core.used[name] / limit for name, limit in limits.items())
            look = {"facecolor": _tint(_COLORS[kind], fill), "hatch": _HATCHES[kind]}
            look["edgecolor"] = _OVER if fill > 1.0 else "white"
        axes.add_patch(
            Rectangle((corner[0] + column, corner[1] + row), 1, 1, linewidth=0.8, **look)
        )


def _tint(color: str, fill: float) -> FloatArray:
    """Return the colour of a core of which the share `fill` is used, as red, green and blue."""
    from matplotlib.colors import to_rgb

    share = 0.25 + 0.75 * min(fill, 1.0)
    return np.asarray(1.0 - share * (1.0 - np.array(to_rgb(color))))

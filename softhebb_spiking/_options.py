"""Options and output that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from softhebb_spiking.data import DATASETS

console = Console(highlight=False)

DatasetOption = Annotated[str, typer.Option("--dataset", help=f"one of {', '.join(DATASETS)}")]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="folder with IDX files; else $SOFTHEBB_DATA")
]
SeedOption = Annotated[int, typer.Option("--seed", help="key of everything random")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else")]
ReadSeedOption = Annotated[
    int | None, typer.Option("--seed", help="key of the spikes; else the model's own")
]


def print_json(found: Any) -> None:
    """Print plain data for programs, alone on stdout."""
    typer.echo(json.dumps(found, indent=2))


def split_names(text: str) -> tuple[str, ...]:
    """Return names that an option gives separated by commas."""
    return tuple(name.strip() for name in text.split(","))


def progress_bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on stderr, quiet where that is no terminal.

    Parameters
    ----------
    *columns : ProgressColumn
        What stands behind description, bar and numbers; by default the time elapsed.
    """
    terminal = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        *(columns or (TimeElapsedColumn(),)),
        console=terminal,
        disable=not terminal.is_terminal,
        transient=True,
    )

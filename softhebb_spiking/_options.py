"""Options and output that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from softhebb_spiking.data import DATASETS

console = Console(highlight=False)

DatasetOption = Annotated[str, typer.Option("--dataset", help=f"one of {', '.join(DATASETS)}")]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="folder with IDX files; else $SOFTHEBB_DATA")
]
SeedOption = Annotated[int, typer.Option("--seed", help="key of everything random")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]

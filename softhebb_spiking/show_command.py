"""The command `show`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from softhebb_spiking._options import RootOption, SeedOption, console
from softhebb_spiking.params import INHIBITIONS
from softhebb_spiking.validation import check_choice, check_integer

_MAX_SEED = 2**63 - 1


def show(
    model: Annotated[Path, typer.Argument(help="a model, saved by train or model.save")],
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="data set whose training labels name units: digits, mnist"),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="H,W of the model's images; a square by default")
    ] = None,
    steps: Annotated[int, typer.Option(help="of a presentation that are read")] = 50,
    inhibition: Annotated[
        str | None, typer.Option(help=f"in place of the model's: {', '.join(INHIBITIONS)}")
    ] = None,
    port: Annotated[int, typer.Option(help="of 127.0.0.1; 0 takes a free one")] = 8800,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-browser", help="open the page in the browser")
    ] = False,
    seed: SeedOption = 0,
    data_root: RootOption = None,
) -> None:
    """Draw a digit on a local page and watch populations compete; Ctrl-C ends it.

    A rate model is shown by the event rung with its weights. Only this machine can open the page.
    """
    try:
        from softhebb_spiking.show.server import claim_port, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tornado":
            raise
        raise ImportError('show needs tornado: pip install "softhebb-spiking[show]"') from error
    from softhebb_spiking.data import load_dataset
    from softhebb_spiking.serialization import load_model
    from softhebb_spiking.show.stage import prepare

    check_integer("port", port, 0, 65535)
    check_integer("steps", steps, 1)
    check_integer("seed", seed, 0, _MAX_SEED)
    if inhibition is not None:
        check_choice("inhibition", inhibition, INHIBITIONS)
    image_shape = None if shape is None else _height_and_width(shape)
    with claim_port(port) as listening:
        found = load_model(model)
        data = None if labels is None else load_dataset(labels, root=data_root)
        console.print("compiling" if data is None else f"naming units by labels of {labels}")
        stage = prepare(
            found,
            name=model.name,
            n_steps=steps,
            seed=seed,
            image_shape=image_shape,
            inhibition=inhibition,
            data=data,
        )
        asyncio.run(serve(stage, listening, ready=_say_ready, browse=open_browser))


def _say_ready(address: str) -> None:
    console.print(f"ready: {address} (Ctrl-C ends it)", soft_wrap=True)


def _height_and_width(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"shape must be H,W, such as 28,28; got {text!r}.")
    return int(parts[0]), int(parts[1])

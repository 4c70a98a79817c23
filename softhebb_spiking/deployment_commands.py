"""The commands `plan`, `export`, `import`, `quantise` and `calibrate`."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from softhebb_spiking._options import (
    JsonOption,
    ReadSeedOption,
    RootOption,
    SeedOption,
    console,
    print_json,
)
from softhebb_spiking.circuit import circuit_for_samples
from softhebb_spiking.circuit_params import LifCircuitParams
from softhebb_spiking.data import load_dataset
from softhebb_spiking.params import FixedPointParams, NetworkParams
from softhebb_spiking.serialization import check_writable_file, load_model, write_whole
from softhebb_spiking.spiking import SpikingSoftHebb
from softhebb_spiking.training_commands import with_seed
from softhebb_spiking.validation import check_choice, check_integer, check_real

_DOES_NOT_FIT = 1
_CIRCUIT_SAMPLES = 5000
_ACTIVITY_SAMPLES = 20
# Far below what makes the loop ring, so that simulators with other delays on the way agree.
_STEADY_FEEDBACK = 0.006
_PICTURES = (".png", ".svg", ".pdf")
_DEFAULT_FORMS = {"loihi1": "circuit", "loihi2": "programs"}
_DEFAULT_LEARNING = {"loihi1": "none", "loihi2": "three-factor"}

ModelArgument = Annotated[Path, typer.Argument(help="a model, saved by train or model.save")]
OptionalDataset = Annotated[
    str | None, typer.Option("--dataset", help="samples to measure on; without it none are")
]


def plan(
    model: ModelArgument,
    chip: Annotated[str, typer.Option(help="loihi1 or loihi2")],
    form: Annotated[
        str | None,
        typer.Option(help="programs (own neurons; Loihi 2) or circuit (stock LIF neurons)"),
    ] = None,
    learning: Annotated[
        str | None, typer.Option(help="on the chip: none, two-factor or three-factor")
    ] = None,
    dataset: OptionalDataset = None,
    samples: Annotated[
        int | None, typer.Option(help="of the data set, to measure activity on; 20 by default")
    ] = None,
    max_chips: Annotated[int | None, typer.Option(help="chips that there are")] = None,
    picture: Annotated[Path | None, typer.Option(help="draw the core map (.png or .svg)")] = None,
    as_json: JsonOption = False,
    seed: ReadSeedOption = None,
    data_root: RootOption = None,
) -> int:
    """Place a model on a chip: does it fit, and what does it take? Exit 1 if it does not fit."""
    from softhebb_spiking.deployment.chips import load_chip
    from softhebb_spiking.deployment.layout import FORMS, LEARNING, circuit_layout, layer_layout
    from softhebb_spiking.deployment.plan import plan as make_plan
    from softhebb_spiking.deployment.report import plan_as_dict, plan_as_text

    load_chip(chip)  # names the known ones
    if samples is not None:
        check_integer("samples", samples, 1)
        if dataset is None:
            raise ValueError("--samples needs --dataset, whose samples they are.")
    if max_chips is not None:
        check_integer("max-chips", max_chips, 1)
    form = check_choice("form", form or _DEFAULT_FORMS[chip], FORMS)
    learning = (learning or _DEFAULT_LEARNING[chip]).replace("-", "_")
    check_choice("learning", learning, LEARNING)
    if picture is not None:
        _check_picture(picture)
    layer = with_seed(_spiking(load_model(model)), seed)
    recording = None
    if dataset is not None:
        shown = _samples_for(layer, dataset, data_root)[: samples or _ACTIVITY_SAMPLES]
        recording = layer.record(shown)
    circuit = _circuit(layer, None) if form == "circuit" else None
    if circuit is None:
        network, epoch = layer.network_params(), _epoch(layer)
        make = partial(_resized, layer_layout, network, learning=learning, epoch=epoch)
    else:
        if learning == "two_factor":  # such synapses belong to a neuron each
            circuit = replace(circuit, population_size=1)
        make = partial(_resized, circuit_layout, circuit, learning=learning)
    found = make_plan(make, chip, recording=recording, circuit=circuit, max_chips=max_chips)
    if picture is not None:
        from softhebb_spiking.plots import core_map

        drawn = io.BytesIO()
        figure: Any = core_map(found).figure
        figure.savefig(drawn, format=picture.suffix[1:])
        write_whole(picture, drawn.getvalue())
    if as_json:
        print_json(plan_as_dict(found))
    else:
        console.print(plan_as_text(found), markup=False, soft_wrap=True)
    return _DOES_NOT_FIT if found.violations else 0


def _check_picture(path: Path) -> None:
    if path.suffix not in _PICTURES:
        raise ValueError(f"{path}: pictures are {', '.join(_PICTURES)}, got {path.suffix!r}.")
    check_writable_file(path)


def _resized(
    layout: Any,
    params: NetworkParams | LifCircuitParams,
    *,
    n_units: int | None = None,
    n_features: int | None = None,
    **options: Any,
) -> Any:
    """Return the layout of a network with other numbers of units or features."""
    sizes: dict[str, Any] = {"n_units": n_units, "n_features": n_features}
    changed = {name: size for name, size in sizes.items() if size is not None}
    return layout(replace(params, **changed), **options)


def export_command(
    model: ModelArgument,
    output: Annotated[Path, typer.Option(help="file to write")],
    format_: Annotated[str, typer.Option("--format", help="nir or npz")] = "nir",
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="nir: samples that the circuit is to see")
    ] = None,
    gain: Annotated[
        float | None, typer.Option(help="nir: from calibrate; else 1 / temperature")
    ] = None,
    population_size: Annotated[
        int | None, typer.Option(help="nir: LIF neurons a unit; else the model's")
    ] = None,
    as_json: JsonOption = False,
    seed: Annotated[int, typer.Option("--seed", help="nir: key of the background")] = 0,
    data_root: RootOption = None,
) -> None:
    """Write a model for other programs: a NIR graph of its LIF circuit, or a numpy archive."""
    from softhebb_spiking.deployment.exchange import FORMATS, export_model

    check_choice("format", format_, FORMATS)
    check_integer("seed", seed, 0)
    check_writable_file(output)
    found = load_model(model)
    circuit = None
    if format_ == "nir":
        shown = None if dataset is None else _samples_for(found, dataset, data_root)
        given = {"gain": gain, "population_size": population_size}
        circuit = _circuit(
            _spiking(found), shown, **{k: value for k, value in given.items() if value is not None}
        )
    elif (dataset, gain, population_size, seed) != (None, None, None, 0):
        raise ValueError("dataset, gain, population_size and seed are for format 'nir'.")
    export_model(found, output, format_, circuit, seed=seed)
    _print_written(output, as_json=as_json)


def import_command(
    file: Annotated[Path, typer.Argument(help="a file written by export")],
    output: Annotated[Path, typer.Option(help="model to write")],
    as_json: JsonOption = False,
) -> None:
    """Turn an exported NIR or npz file back into a model."""
    from softhebb_spiking.deployment.exchange import import_model

    check_writable_file(output)
    found, _ = import_model(file)
    found.save(output)
    _print_written(output, as_json=as_json)


def _print_written(path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"written": str(path.resolve())})
    else:
        console.print(f"written: {path.resolve()}", soft_wrap=True)


def quantise(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Report what the integers of a chip do to a model: formats, clipping, the learning rule."""
    layer = _spiking(load_model(model))
    _, report = layer.to_fixed()
    if as_json:
        print_json(report.as_dict())
    else:
        console.print(str(report), markup=False, soft_wrap=True)


def calibrate_command(
    temperature: Annotated[float, typer.Option(help="temperature that is asked for")],
    units: Annotated[int, typer.Option(help="populations")] = 10,
    population_size: Annotated[int, typer.Option(help="LIF neurons in each")] = 50,
    backend: Annotated[str, typer.Option(help="lava, lava-fixed or brian2")] = "lava",
    as_json: JsonOption = False,
    seed: SeedOption = 0,
) -> None:
    """Measure the temperature of a LIF circuit at several gains; print the gain to use."""
    from softhebb_spiking.calibration import TEMPERATURES, calibrate

    check_choice("backend", backend, ("lava", "lava-fixed", "brian2"))
    check_integer("units", units, 2)
    low, high = min(TEMPERATURES), max(TEMPERATURES)
    check_real("temperature", temperature, 1.1 * low, 0.9 * high)
    if backend == "brian2":
        from softhebb_spiking.backends.brian2_circuit import simulate
    else:
        from softhebb_spiking.backends.lava_circuit import simulate  # type: ignore[assignment]
    found = calibrate(
        LifCircuitParams(n_features=units, n_units=units, population_size=population_size),
        simulate=simulate,
        fixed=FixedPointParams() if backend == "lava-fixed" else None,
        seed=seed,
    )
    gain = found.gain(temperature)
    if as_json:
        columns = {name: np.round(getattr(found, name), 8).tolist() for name in _COLUMNS}
        print_json({"temperature": temperature, "gain": gain, **columns})
    else:
        typer.echo(found)
        typer.echo(f"gain for temperature {temperature:g}: {gain:.4f}")


_COLUMNS = ("gains", "temperatures", "standard_errors")


def _spiking(model: Any) -> SpikingSoftHebb:
    """Return a model as a spiking one."""
    if isinstance(model, SpikingSoftHebb):
        return model
    return SpikingSoftHebb.from_weights(
        model.weights_, model.log_prior_, temperature=model.temperature, random_state=0
    )


def _samples_for(model: Any, dataset: str, root: Path | None) -> Any:
    data = load_dataset(dataset, root=root)
    if data.X_test.shape[1] != model.n_features_in_:
        raise ValueError(
            f"dataset {dataset!r} has {data.X_test.shape[1]} features, the model "
            f"{model.n_features_in_}; name the data set that it was trained on."
        )
    return data.X_test


def _circuit(model: SpikingSoftHebb, samples: Any, **given: Any) -> LifCircuitParams:
    """Return the LIF circuit of a model, chosen for samples if there are any."""
    options: dict[str, Any] = {
        "feedback": _STEADY_FEEDBACK,
        "gain": 1.0 / model.temperature,
        "population_size": model.population_size,
        "total_rate": model.total_rate,
        "max_probability": model.max_probability,
        "n_steps": model.n_steps,
        "settle_steps": model.settle_steps,
        "psp_tau_ms": model.psp_tau_ms,
        "dt_ms": model.dt_ms,
    } | given
    if samples is None:
        return LifCircuitParams(n_features=model.n_features_in_, n_units=model.n_units, **options)
    return circuit_for_samples(model.weights_, samples[:_CIRCUIT_SAMPLES], **options)


def _epoch(model: SpikingSoftHebb) -> int:
    return int((model.fixed_options or {}).get("learning_epoch", 1))


def programs(
    model: ModelArgument,
    output: Annotated[Path | None, typer.Option(help="file to write; else printed")] = None,
) -> None:
    """Write the integer program of a step of each neuron that a chip does not have in stock."""
    from softhebb_spiking.deployment.step_programs import programs_page

    page = programs_page(_spiking(load_model(model)).to_fixed()[1].fixed)
    if output is None:
        typer.echo(page, nl=False)
    else:
        check_writable_file(output)
        write_whole(output, page.encode())
        _print_written(output, as_json=False)

"""Imports go down the ladder only, and the Brian2 reference shares no code with what it checks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "softhebb_spiking"
ROOT = Path(__file__).resolve().parent.parent

LEAVES = {"errors", "validation", "params", "philox", "_cache"}
FIXED = {"fixed_point", "fixed_learning", "fixed_network"}
CORE = LEAVES | {"theory", "encoding", "recording"} | FIXED
EVENT_KERNELS = {
    "_compiled",
    "backends._event_draws",
    "backends._event_fixed_learning",
    "backends._event_inputs",
    "backends._event_integers",
    "backends._event_network",
    "backends._event_product",
    "backends._event_record",
    "backends._threads",
}
COMMANDS = {
    "_options",
    "bench_command",
    "deployment_commands",
    "experiment_commands",
    "training_commands",
    "show_command",
    "sweep_command",
    "verification_commands",
}
CIRCUIT = {"circuit_params", "circuit", "circuit_constants"}
TRAINING = {"samples", "initialization", "checkpoint", "_checkpoint_keeper", "training"}
ESTIMATORS = {"rate", "spiking", "evaluation", "serialization", "data"}

# Layer -> what it may import of the package. The longest matching name is a module's layer.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "validation": {"errors"},
    "params": {"errors", "validation"},
    "_cache": set(),
    "philox": {"_cache"},
    "_compiled": {"_cache"},
    "_timing": set(),
    "_intervals": LEAVES,
    "_workers": set(),
    "_untrusted": set(),
    "_blas": set(),
    "_memory": set(),
    "_hdf5": {"_untrusted"},
    "_pages": {"", "serialization"},
    "_lava_compat": {"errors"},
    "theory": LEAVES,
    "encoding": LEAVES | {"theory"},
    "fixed_point": LEAVES,
    "fixed_learning": LEAVES | {"fixed_point"},
    "fixed_network": LEAVES | {"encoding", "fixed_point", "fixed_learning"},
    "conversion": LEAVES | FIXED,
    "circuit_params": LEAVES,
    "circuit": LEAVES | {"circuit_params", "encoding"},
    "circuit_constants": CORE | CIRCUIT,
    "calibration": LEAVES | CIRCUIT,
    "recording": LEAVES | {"_untrusted", "serialization"},
    "_recording_size": LEAVES,
    "_neo_block": LEAVES,
    "_nwb": LEAVES | {"_neo_block"},
    "neuro": LEAVES | {"_hdf5", "_neo_block", "_nwb", "serialization"},
    "recording_parts": LEAVES | {"_untrusted", "recording", "samples", "serialization"},
    "data": {"_untrusted", "errors", "validation"},
    "serialization": LEAVES | {"_untrusted"},
    "samples": LEAVES,
    "initialization": LEAVES | {"theory", "samples"},
    "checkpoint": LEAVES | {"_untrusted", "serialization"},
    "_checkpoint_keeper": LEAVES | {"checkpoint", "samples", "serialization"},
    "training": LEAVES | {"_checkpoint_keeper", "checkpoint", "samples"},
    "evaluation": LEAVES | {"theory", "samples"},
    "mixture": CORE | {"_blas", "_memory", "serialization"} | TRAINING,
    "rate": CORE | {"_blas", "mixture", "samples"},
    "spiking": CORE
    | {"mixture", "samples", "serialization", "backends", "conversion", "_recording_size"},
    "backends": LEAVES | {"recording"},
    "backends.brian2": {"params"},
    "backends.brian2_circuit": {"circuit_params", "backends.brian2"},
    "backends._event_draws": CORE | {"_compiled"},
    "backends._event_inputs": CORE | {"_compiled"},
    "backends._event_record": CORE | {"_compiled"},
    "backends._event_network": CORE | EVENT_KERNELS,
    "backends._event_product": {"_compiled"},
    "backends._event_stepwise": CORE | EVENT_KERNELS,
    "backends._event_exact": CORE | EVENT_KERNELS,
    "backends._event_float": CORE
    | EVENT_KERNELS
    | {"backends._event_exact", "backends._event_stepwise"},
    "backends._threads": set(),
    "backends._event_integers": CORE | {"_compiled"},
    "backends._event_fixed_learning": CORE | EVENT_KERNELS,
    "backends._event_fixed_kernel": CORE | EVENT_KERNELS,
    "backends._event_fixed": CORE | EVENT_KERNELS | {"backends._event_fixed_kernel"},
    "backends.event": CORE | EVENT_KERNELS | {"backends._event_float", "backends._event_fixed"},
    "processes": (CORE - {"recording"}) | {"_lava_compat"},
    "networks": CORE | CIRCUIT | {"processes", "_lava_compat"},
    "backends._lava_worker": set(),
    "backends.lava": CORE | {"processes", "networks", "_lava_compat", "backends._lava_worker"},
    "backends.lava_circuit": CORE
    | CIRCUIT
    | {"networks", "_lava_compat", "backends._lava_worker", "backends.lava"},
    "deployment": CORE | CIRCUIT | ESTIMATORS | {"_hdf5", "_untrusted", "processes"},
    "deployment_commands": CORE | CIRCUIT | ESTIMATORS | {"_options", "training_commands"},
    "plots": LEAVES | {"_intervals", "theory", "recording"},
    "bench": CORE | ESTIMATORS | {"_timing"},
    "show": CORE | ESTIMATORS | {"backends.event"},
    "show_command": LEAVES | {"_options"},
    "verification_commands": CORE
    | ESTIMATORS
    | {"_options", "plots", "training_commands", "verification"},
    "_options": {"data"},
    "training_commands": CORE | ESTIMATORS | TRAINING | {"_options"},
    "sweep": CORE | ESTIMATORS | {"_untrusted", "_workers"},
    "experiments": CORE
    | ESTIMATORS
    | {"", "_intervals", "_pages", "_untrusted", "_workers", "initialization", "plots", "samples"},
    "experiment_commands": LEAVES | {"_options"},
    "sweep_command": LEAVES | {"_options"},
    "peers": CORE | ESTIMATORS | TRAINING | {"", "_timing"},
    "bench_command": CORE | ESTIMATORS | {"_options", "bench"},
    "cli": COMMANDS | {""},
    "": CORE | ESTIMATORS | TRAINING,
}
ALLOWED["verification"] = set(ALLOWED) - COMMANDS - {"cli"}  # the one place that sees several rungs

# Inside functions and for type checkers only: backends are optional, a file names its estimator.
LAZY: dict[str, set[str]] = {
    "spiking": {"backends.event", "backends.lava", "backends.brian2"},
    "serialization": {"mixture", "rate", "spiking"},
    "recording": {"_neo_block"},
    "_neo_block": {"recording"},
    "recording_parts": {"spiking", "_neo_block", "_nwb", "neuro"},
    "show_command": {"data", "serialization", "show"},
    "_checkpoint_keeper": {""},
    "sweep": {""},
    "sweep_command": {"sweep"},
    "experiment_commands": {"experiments"},
    "bench_command": {"peers"},
    "calibration": {"backends.lava_circuit"},
    "deployment_commands": {
        "backends.brian2_circuit",
        "backends.lava_circuit",
        "calibration",
        "deployment",
        "plots",
    },
    "bench": {"backends.event", "backends.lava", "verification"},
}


def layer_of(name: str) -> str:
    """Layer of a dotted name inside the package; a name from __init__ belongs to layer ''."""
    parts = name.split(".")
    known = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((layer for layer in known if layer in ALLOWED), "")


def imported_names(node: ast.AST) -> Iterator[str]:
    """Dotted names inside the package that one import asks for (ruff bans relative ones)."""
    prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ():
        top, _, rest = (prefix + alias.name).partition(".")
        if top == PACKAGE and not rest.startswith("__"):
            yield rest


def imports(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[int, str, bool]]:
    """Yield line, name and whether it is deferred, for every import of the package."""
    for child in ast.iter_child_nodes(tree):
        for name in imported_names(child):
            yield getattr(child, "lineno", 0), name, lazy
        deferred = isinstance(child, ast.FunctionDef) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        yield from imports(child, lazy or deferred)


def violations(module: str, source: str) -> list[str]:
    """Imports in `source` that the tables forbid to `module`."""
    layer = layer_of(module)
    found = []
    for line, name, lazy in imports(ast.parse(source)):
        target = layer_of(name)
        allowed = ALLOWED[layer] | (LAZY.get(layer, set()) if lazy else set())
        if target != layer and target not in allowed:
            found.append(f"{module}:{line} imports {target or PACKAGE}")
    return found


def modules() -> dict[str, Path]:
    """Every module by its dotted name inside the package; links are skipped by rglob."""
    bases = {PACKAGE: ROOT / PACKAGE, "processes": ROOT, "networks": ROOT}
    found = {}
    for folder, base in bases.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down_only(module: str) -> None:
    assert module == "" or layer_of(module) != "", f"add {module} to the table above"
    assert violations(module, modules()[module].read_text()) == []


PLANTED = [  # module, source, layer it must not import (None: allowed)
    ("params", "from softhebb_spiking.theory import f", "theory"),
    ("theory", "import softhebb_spiking.rate", "rate"),
    ("backends.brian2", "from softhebb_spiking import theory", "theory"),
    ("backends.brian2", "from softhebb_spiking.params import P", None),
    ("backends.event", "import softhebb_spiking.backends.lava", "backends.lava"),
    ("spiking", "import softhebb_spiking.backends.lava", "backends.lava"),
    ("spiking", "def f(): import softhebb_spiking.backends.lava", None),
    ("spiking", "def f(): from softhebb_spiking import SoftHebb", PACKAGE),
    ("processes.soft_wta.models", "if True: import softhebb_spiking.networks", "networks"),
]


@pytest.mark.parametrize(("module", "source", "layer"), PLANTED)
def test_a_planted_import_is_judged(module: str, source: str, layer: str | None) -> None:
    expected = [] if layer is None else [f"{module}:1 imports {layer}"]
    assert violations(module, source) == expected

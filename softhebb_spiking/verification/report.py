"""The report of a verification: `verify.json` for programs, `verify.html` for people."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import platform
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softhebb_spiking import __version__, plots
from softhebb_spiking.verification.check import Check
from softhebb_spiking.verification.figures import figures
from softhebb_spiking.verification.ladder import Verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JSON_NAME, HTML_NAME = "verify.json", "verify.html"
_LIBRARIES = ("numpy", "numba", "lava-nc", "brian2")
_DPI = 180  # of the points in the pictures; everything else is vectors


def require_installed() -> None:
    """Raise unless the libraries that draw and print the report are there.

    Raises
    ------
    ImportError
        With the install line.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the report needs {error.name or 'jinja2 and matplotlib'}: "
            'pip install "softhebb-spiking[report]"'
        ) from error


def check_writable(directory: str | Path) -> None:
    """Raise unless a report could be written to `directory`; for commands that compute first.

    The directory is created if need be, and nothing is left in it.

    Raises
    ------
    OSError
        If it cannot be created or written to.
    ImportError
        If a library that the report needs is not installed.
    """
    require_installed()
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=folder, prefix=".verify.")
    except OSError as error:
        raise _unwritable(folder, error) from error
    os.close(handle)
    os.unlink(scratch)
    for name in (JSON_NAME, HTML_NAME):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"cannot write {folder / name}: it is a folder; remove it.")


def write_report(
    verification: Verification, directory: str | Path, *, elapsed_s: float, command: str
) -> Path:
    """Write `verify.json` and `verify.html`, each whole or not at all.

    Parameters
    ----------
    verification : Verification
        What was found.
    directory : str or Path
        Created if need be.
    elapsed_s : float
        How long the verification took, seconds.
    command : str
        The command that repeats it.

    Returns
    -------
    Path
        The HTML file, which needs no other file and no network.

    Raises
    ------
    OSError
        If the directory cannot be written to.
    ImportError
        If matplotlib or jinja2 is not installed.
    """
    check_writable(directory)
    found = summary(verification, elapsed_s=elapsed_s, command=command)
    html = render(verification, found)
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder = Path(directory)
    _write_together({folder / JSON_NAME: text, folder / HTML_NAME: html})
    return folder / HTML_NAME


def summary(verification: Verification, *, elapsed_s: float, command: str) -> dict[str, Any]:
    """Return the content of `verify.json`; numbers that are not finite are null."""
    ladder = verification.ladder
    return {
        "passed": verification.passed,
        "dataset": ladder.data.name,
        "seed": ladder.seed,
        "rungs": list(ladder.rungs),
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "elapsed_s": round(elapsed_s, 3),
        "versions": _versions(),
        "checks": [_plain(check) for check in verification.checks],
        "budget": [asdict(row) for row in verification.budget],
    }


def _plain(check: Check) -> dict[str, Any]:
    return {**check.as_dict(), "value": check.value if math.isfinite(check.value) else None}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "softhebb-spiking": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _unwritable(folder: Path, error: OSError) -> OSError:
    return type(error)(
        f"cannot write the report to {folder}: {error.strerror or error}; choose another folder."
    )


def _write_together(files: Mapping[Path, str]) -> None:
    """Write all files beside their places first, so that a failure leaves the old ones whole."""
    scratch = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}") for path in files}
    try:
        for path, text in files.items():
            scratch[path].write_text(text, encoding="utf-8")
        for path in files:
            os.replace(scratch[path], path)
    except OSError as error:
        raise _unwritable(next(iter(files)).parent, error) from error
    finally:
        for path in scratch.values():
            path.unlink(missing_ok=True)


def render(verification: Verification, found: Mapping[str, Any]) -> str:
    """Return the page, from the content of `verify.json`."""
    import jinja2
    import matplotlib

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("softhebb_spiking.verification"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups: dict[str, list[Check]] = {}
    for check in verification.checks:
        groups.setdefault(check.name.split("/")[0], []).append(check)
    with matplotlib.rc_context(plots.STYLE):
        pictures = {name: _data_uri(figure) for name, figure in figures(verification).items()}
    return environment.get_template("verify.html.j2").render(
        found=found,
        groups=groups,
        failed=[check for check in verification.checks if not check.passed],
        n_checks=len(verification.checks),
        pictures=pictures,
        budget=verification.budget,
        networks=_networks(verification),
        learning_samples=verification.ladder.sizes.learning_samples,
    )


def _networks(verification: Verification) -> dict[str, dict[str, Any]]:
    """Return the setting of each comparison, by comparison."""
    settings: dict[str, dict[str, Any]] = {}
    for (group, _), run in verification.runs.items():
        settings.setdefault(group, asdict(run.network))
    return settings


def _data_uri(figure: Figure) -> str:
    """Return a picture as an image that is its own address."""
    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata=nothing)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

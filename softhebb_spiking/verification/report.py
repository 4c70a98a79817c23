"""The report of a verification: `verify.json` for programs, `verify.html` for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from softhebb_spiking import _pages, plots
from softhebb_spiking.verification.budget import Row
from softhebb_spiking.verification.check import Check
from softhebb_spiking.verification.figures import figures
from softhebb_spiking.verification.ladder import Verification

JSON_NAME, HTML_NAME = "verify.json", "verify.html"


def check_writable(directory: str | Path) -> None:
    """Raise unless a report could be written to `directory`; for commands that compute first.

    Raises
    ------
    OSError
        If it cannot be created or written to.
    ImportError
        If a library that the report needs is not installed.
    """
    _pages.check_writable(directory, (JSON_NAME, HTML_NAME))


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
    _pages.write_together({folder / JSON_NAME: text, folder / HTML_NAME: html})
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
        "versions": _pages.versions(),
        "checks": [check.as_dict() for check in verification.checks],
        "budget": [_plain(row) for row in verification.budget],
    }


def _plain(row: Row) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(row).items()
    }


def render(verification: Verification, found: Mapping[str, Any]) -> str:
    """Return the page, from the content of `verify.json`."""
    import matplotlib

    groups: dict[str, list[Check]] = {}
    for check in verification.checks:
        groups.setdefault(check.name.split("/")[0], []).append(check)
    with matplotlib.rc_context(plots.STYLE):
        pictures = {name: _pages.data_uri(figure) for name, figure in figures(verification).items()}
    return (
        _pages.page_environment()
        .get_template("verify.html.j2")
        .render(
            found=found,
            groups=groups,
            failed=[check for check in verification.checks if not check.passed],
            n_checks=len(verification.checks),
            pictures=pictures,
            budget=verification.budget,
            networks=_networks(verification),
            learning_samples=verification.ladder.sizes.learning_samples,
        )
    )


def _networks(verification: Verification) -> dict[str, dict[str, Any]]:
    """Return the setting of each comparison, by comparison."""
    settings: dict[str, dict[str, Any]] = {}
    for (group, _), run in verification.runs.items():
        settings.setdefault(group, asdict(run.network))
    return settings

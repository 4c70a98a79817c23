"""The report of experiments: `claims.json` and `measurements.json`, `report.html`, pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from softhebb_spiking import _pages, plots
from softhebb_spiking.experiments.run import Findings, code_digest
from softhebb_spiking.experiments.texts import CAPTIONS, CLAIMS, EXPERIMENT_OF, FIGURES_OF, HOW

CLAIMS_JSON, DATA_JSON, HTML = "claims.json", "measurements.json", "report.html"
_LIBRARIES = ("numpy", "scikit-learn", "numba", "adversarial-robustness-toolbox")
_DPI = 130


def check_writable(directory: str | Path) -> None:
    """Raise unless a report could be written to `directory`; for commands that compute first.

    Raises
    ------
    OSError
        If it cannot be created or written to.
    ImportError
        If a library that the report needs is not installed.
    """
    _pages.check_writable(directory, (CLAIMS_JSON, DATA_JSON, HTML))


def write_report(
    findings: Findings, directory: str | Path, *, elapsed_s: float, command: str
) -> Path:
    """Write both JSON files, the page, and each picture as PNG.

    Parameters
    ----------
    findings : Findings
        What was found.
    directory : str or Path
        Created if need be.
    elapsed_s : float
        How long it took, seconds.
    command : str
        The command that repeats it.

    Returns
    -------
    Path
        The page, which needs no other file and no network.

    Raises
    ------
    OSError
        If the directory cannot be written to.
    ImportError
        If matplotlib or jinja2 is not installed.
    """
    import matplotlib

    check_writable(directory)
    folder = Path(directory)
    found = summary(findings, elapsed_s=elapsed_s, command=command)
    with matplotlib.rc_context(plots.STYLE):
        figures = findings.figures()
        html = render(found, {name: _pages.data_uri(one) for name, one in figures.items()})
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
    _pages.write_together(
        {
            folder / CLAIMS_JSON: _as_json(found, indent=2),
            folder / DATA_JSON: _as_json(measurements(findings)),
            folder / HTML: html,
        }
    )
    return folder / HTML


def _as_json(content: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def summary(findings: Findings, *, elapsed_s: float, command: str) -> dict[str, Any]:
    """Return the content of `claims.json`: every number that a verdict rests on."""
    plan = findings.plan
    return {
        "dataset": plan.dataset,
        "rungs": list(plan.rungs),
        "seeds": list(plan.seeds),
        "quick": plan.quick,
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "elapsed_s": round(elapsed_s, 1),
        "computing_s": round(sum(one.elapsed_s for one in findings.outcomes), 1),
        "code": {name: code_digest(name, plan.rungs)[:16] for name in plan.experiments},
        "versions": _pages.versions(_LIBRARIES),
        "settings": plan.facts["settings"],
        "seconds_of_a_seed": {
            name: round(_mean([one.elapsed_s for one in findings.outcomes if _is(one, name)]), 1)
            for name in plan.experiments
        },
        "failed": [
            {"experiment": one.task.experiment, "seed": one.task.seed, "error": one.error}
            for one in findings.failed
        ],
        "claims": [claim.as_dict() for claim in findings.claims()],
    }


def _is(outcome: Any, name: str) -> bool:
    return outcome.task.experiment == name and outcome.error is None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def measurements(findings: Findings) -> dict[str, Any]:
    """Return the content of `measurements.json`: what experiments returned, without pictures."""
    return {
        name: {
            str(one.task.seed): {k: v for k, v in (one.data or {}).items() if k != "images"}
            for one in findings.outcomes
            if _is(one, name)
        }
        for name in findings.plan.experiments
    }


def render(found: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Return the page, from the content of `claims.json` and pictures as addresses."""
    return (
        _pages.page_environment()
        .get_template("experiments.html.j2")
        .render(
            found=found,
            by_claim=claims_by_number(found),
            texts=CLAIMS,
            how=HOW,
            experiment_of=EXPERIMENT_OF,
            figures_of=FIGURES_OF,
            captions=CAPTIONS,
            pictures=pictures,
            interval=interval_text,
            judged=judged,
            table=measure_table,
        )
    )


def claims_by_number(found: Mapping[str, Any]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the claims of `claims.json` by their number: each has one entry for each rung."""
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for claim in found["claims"]:
        by_number.setdefault(claim["claim"], []).append(claim)
    return by_number


def measure_table(claims: list[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the measures of the rungs of one claim: name of the measure, then rung."""
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for claim in claims:
        for measure in claim["measures"]:
            rows.setdefault(measure["name"], {})[claim["network"]] = measure
    return rows


def judged(measure: Mapping[str, Any]) -> bool:
    """Return whether a measure decides over its claim."""
    return measure["must_exceed"] is not None


def interval_text(measure: Mapping[str, Any]) -> str:
    """Return mean and interval as they are printed everywhere, such as "1.2 [0.9, 1.5] nats"."""
    digits = _digits(measure)
    text = f"{measure['mean']:.{digits}f}"
    if measure["low"] is not None:
        text += f" [{measure['low']:.{digits}f}, {measure['high']:.{digits}f}]"
    unit = measure["unit"]
    return f"{text} {unit}".strip().replace("-", "−")


def _digits(measure: Mapping[str, Any]) -> int:
    """Return decimals that show two digits of the interval's half width, at most three."""
    if measure["low"] is None:
        return 2
    half = 0.5 * (measure["high"] - measure["low"])
    return 2 if half <= 0.0 else min(3, max(1, 1 - math.floor(math.log10(half))))

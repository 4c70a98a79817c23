"""The command of the campaign: ``PYTHONPATH=tests python -m faults --tries 20 --seed 0``."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from faults import cache_faults, process_faults, training_faults
from faults.campaign import ROOT, Fault, new_row, try_once

FAULTS = [*training_faults.FAULTS, *cache_faults.FAULTS, *process_faults.FAULTS]
COLUMNS = ("tries", "lost", "left", "hangs")
PACKAGE = ROOT / "softhebb_spiking"
BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"


def line(row: dict[str, Any]) -> str:
    """Return a row of the table as it is printed."""
    counts = " ".join(f"{row[name]:>6}" for name in COLUMNS)
    tail = f"skipped: {row['skipped']}" if "skipped" in row else f"{row.get('median_s', 0.0):>9.1f}"
    return f"{row['fault']:<42} {counts} {tail}"


def run(
    faults: Sequence[Fault], tries: int, seed: int, minutes: float, output: Path
) -> list[dict[str, Any]]:
    """Try each fault once, then each a second time, and so on; return the rows.

    They are written after each try. If there are rows of the same code and seed, it goes on there.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60.0 * minutes
    found = _found(output, seed)
    about = {"seed": seed, "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count()}
    rows = {fault.name: found.get(fault.name) or new_row(fault) | about for fault in faults}
    for number in range(tries):
        for fault in faults:
            row = rows[fault.name]
            if "skipped" in row or row["tries"] > number or time.monotonic() > deadline:
                continue
            if failure := try_once(fault, row, seed):
                print(failure, flush=True)
            content = {"code": _code(), "seed": seed, "rows": list((found | rows).values())}
            output.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"{'fault':<42} {' '.join(f'{name:>6}' for name in COLUMNS)}  median s")
    for row in rows.values():
        print(line(row))
    return list(rows.values())


def _found(output: Path, seed: int) -> dict[str, dict[str, Any]]:
    if not output.exists():
        return {}
    content = json.loads(output.read_text("utf-8"))
    same = (content.get("code"), content.get("seed")) == (_code(), seed)
    return {row["fault"]: row for row in content["rows"]} if same else {}


@cache
def _code() -> str:
    """Return a hash of the package and of the campaign; what they do may change with it."""
    package = [path for name in ("", "networks", "processes") for path in _sources(PACKAGE / name)]
    parts = [path.read_bytes() for path in [*package, *_sources(Path(__file__).parent)]]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def status(rows: Sequence[dict[str, Any]], tries: int) -> int:
    """Return 1 if anything was lost or left, a try hung, or the time did not suffice."""
    bad = any(row[name] for row in rows for name in COLUMNS[1:])
    short = any(row["tries"] < tries for row in rows if "skipped" not in row)
    return int(bad or short)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table of Markdown, in the order of the campaign, with their totals."""
    order = [fault.name for fault in FAULTS]
    rows = sorted(rows, key=lambda row: order.index(row["fault"]))
    lines = [f"| fault | {' | '.join(COLUMNS)} | median s |", f"|---|{'---|' * 5}"]
    for row in rows:
        counts = " | ".join(str(row[name]) for name in COLUMNS)
        name = row["fault"].replace("__init__", "`__init__`")
        lines.append(f"| {name} | {counts} | {row.get('median_s', '')} |")
    totals = " | ".join(f"**{sum(row[name] for row in rows)}**" for name in COLUMNS)
    lines.append(f"| **all {len(rows)}** | {totals} | |")
    missing = [name for name in order if name not in {row["fault"] for row in rows}]
    about = {name: sorted({str(row[name]) for row in rows}) for name in ("date", "seed", "cores")}
    told = (
        f"Date: {', '.join(about['date'])}. Seed: {', '.join(about['seed'])}. "
        f"Machine: {', '.join(about['cores'])} cores."
    )
    if missing:
        told += f" Not tried: {'; '.join(missing)}."
    return "\n".join([*lines, "", told])


def insert(page: Path, results: Sequence[Path]) -> None:
    """Put the table of some files of results between the marks of a page."""
    found = [row for path in results for row in json.loads(path.read_text("utf-8"))["rows"]]
    rows = {row["fault"]: row for row in found if row["tries"]}
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{page} lacks {BEGIN} and {END}")
    text = f"{before}{BEGIN}\n\n{table(list(rows.values()))}\n\n{END}{after}"
    page.write_text(text, "utf-8")


def main() -> int:
    """Run what was asked for, or insert what was found."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    parser.add_argument("--only", default="", help="faults with one of these in it, A|B")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no try begins")
    parser.add_argument("--output", type=Path, default=Path("build/faults.json"))
    parser.add_argument("--insert", type=Path, metavar="PAGE", help="put results into a page")
    parser.add_argument("results", type=Path, nargs="*", help="for --insert; else the output")
    given = parser.parse_args()
    if given.insert:
        insert(given.insert, given.results or [given.output])
        return 0
    # Programs that a shell starts in the background ignore SIGINT, and so would all of ours.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # takes mounts away
    wanted = given.only.split("|")
    chosen = [fault for fault in FAULTS if any(text in fault.name for text in wanted)]
    return status(run(chosen, given.tries, given.seed, given.minutes, given.output), given.tries)


if __name__ == "__main__":
    sys.exit(main())

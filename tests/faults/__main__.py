"""The command of the campaign: ``PYTHONPATH=tests python -m faults --tries 20 --seed 0``."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from faults import cache_faults, process_faults, training_faults
from faults.campaign import run_fault

FAULTS = [*training_faults.FAULTS, *cache_faults.FAULTS, *process_faults.FAULTS]
COLUMNS = ("tries", "lost", "left", "hangs")


def line(row: dict[str, Any]) -> str:
    """Return a row of the table as it is printed."""
    counts = " ".join(f"{row[name]:>6}" for name in COLUMNS)
    tail = f"skipped: {row['skipped']}" if "skipped" in row else f"{row['median_s']:>9.1f}"
    return f"{row['fault']:<42} {counts} {tail}"


def main() -> int:
    """Run what was asked for; return 1 if anything was lost or left, or a try hung."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--output", type=Path, default=Path("build/faults.json"))
    given = parser.parse_args()
    print(f"{'fault':<42} {' '.join(f'{name:>6}' for name in COLUMNS)}  median s")
    rows = []
    for fault in FAULTS:
        if given.only not in fault.name:
            continue
        rows.append(run_fault(fault, given.tries, given.seed))
        print(line(rows[-1]), flush=True)
        for failure in rows[-1]["failures"]:
            print(f"    try {failure['try']}, {failure['kind']}: {failure['message']}", flush=True)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        content = {"tries": given.tries, "seed": given.seed, "rows": rows}
        given.output.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return int(any(row[name] for row in rows for name in COLUMNS[1:]))


if __name__ == "__main__":
    sys.exit(main())

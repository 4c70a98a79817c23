"""Numbers of experiments in Markdown files, written by a program and not by hand.

A file has pairs of marks, `<!-- results: BLOCK DATASET -->` and `<!-- end of results -->`; what
stands between them is replaced. Blocks are named in `BLOCKS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from softhebb_spiking._untrusted import read_json
from softhebb_spiking.experiments.report import (
    claims_by_number,
    interval_text,
    judged,
    measure_table,
)
from softhebb_spiking.experiments.texts import CLAIMS, EXPERIMENT_OF
from softhebb_spiking.serialization import write_whole
from softhebb_spiking.validation import check_integer, check_real

_MARKS = re.compile(
    r"(<!-- results: (?P<block>\S+) (?P<dataset>\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL
)
# What ends a cell, a line or a mark, or begins HTML.
_NO_CELL = re.compile(r"[|`\x00-\x1f\x7f\x85\u2028\u2029]|<[A-Za-z/!?]")
_LARGEST = 1e15
Found = Mapping[str, Any]


def insert(results: Sequence[Path], files: Sequence[Path], *, write: bool = True) -> list[Path]:
    """Put the numbers of results into files, between their marks.

    Parameters
    ----------
    results : sequence of Path
        Files named `claims.json` as `experiment` writes them, one for each data set.
    files : sequence of Path
        Markdown files.
    write : bool
        Whether files are changed.

    Returns
    -------
    list of Path
        Files that changed, or would have.

    Raises
    ------
    ValueError
        If a file has no marks, or asks for a block or a data set that is not there; before any
        file is written.
    OSError
        If a file cannot be read or written.
    """
    by_dataset = {found["dataset"]: found for found in map(_read, results)}
    texts = {}
    for path in files:
        before = path.read_text(encoding="utf-8")
        after = _replaced(path, before, by_dataset)
        if after != before:
            texts[path] = after
    if write:
        for path, text in texts.items():
            write_whole(path, text.encode())
    return list(texts)


def _read(path: Path) -> Found:
    try:
        found: Found = read_json(path)
        _check(found)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no claims.json as `softhebb-spiking experiment` writes it: {error!r}."
        ) from error
    return found


def _check(found: Found) -> None:
    """Raise unless a file has what the blocks need, in words that fit a cell of a table."""
    texts = [found["dataset"], found["command"], found["date"], *found["rungs"]]
    numbers = [found["computing_s"], *found["seconds_of_a_seed"].values()]
    ends_of_intervals: list[Any] = []
    check_integer("the number of seeds", len(found["seeds"]), 1)
    for seed in found["seeds"]:
        check_integer("seeds", seed, 0)
    for claim in found["claims"]:
        check_integer("claim", claim["claim"], min(CLAIMS), max(CLAIMS))
        if EXPERIMENT_OF[claim["claim"]] not in found["seconds_of_a_seed"]:
            raise ValueError(f"seconds_of_a_seed lacks the experiment of claim {claim['claim']}")
        texts += [claim["network"], claim["verdict"]]
        for one in claim["measures"]:
            texts += [one["name"], one["unit"]]
            ends = [one["low"], one["high"]]
            if None in ends and ends != [None, None]:
                raise ValueError(f"the interval {ends} has one end")
            numbers.append(one["mean"])
            ends_of_intervals += [*ends, one["must_exceed"]]
    for text in texts:
        if not isinstance(text, str) or _NO_CELL.search(text):
            raise ValueError(f"{text!r} is no text for a cell of a table")
    for number in (*numbers, *(end for end in ends_of_intervals if end is not None)):
        check_real("a number", number, -_LARGEST, _LARGEST)


def _replaced(path: Path, text: str, by_dataset: Mapping[str, Found]) -> str:
    if not _MARKS.search(text):
        raise ValueError(
            f"{path} has no marks; put '<!-- results: claims mnist -->' and "
            "'<!-- end of results -->' on lines of their own where a table shall stand."
        )

    def block(match: re.Match[str]) -> str:
        name, dataset = match["block"], match["dataset"]
        if name not in BLOCKS:
            raise ValueError(f"{path}: block must be one of {', '.join(BLOCKS)}, got {name!r}.")
        if dataset not in by_dataset:
            raise ValueError(
                f"{path} asks for results of {dataset!r}; given were {', '.join(by_dataset)}."
            )
        lines = BLOCKS[name](by_dataset[dataset])
        return match[1] + "\n" + "\n".join(lines) + "\n\n" + match[4]

    return _MARKS.sub(block, text)


def _claims_table(found: Found) -> list[str]:
    """Return verdicts with the numbers that decide, a row for each claim."""
    rows = [["claim", *found["rungs"]]]
    for number, claims in claims_by_number(found).items():
        cells = [f"{number}. {CLAIMS[number]}"]
        for claim in claims:
            cells.append(f"**{claim['verdict']}**: {_deciding(claim)}")
        rows.append(cells)
    return [*_markdown(rows), "", _provenance(found)]


def _measures_table(found: Found) -> list[str]:
    """Return all measures, a table for each claim."""
    lines = []
    for number, claims in claims_by_number(found).items():
        lines += [f"**{number}. {CLAIMS[number]}**", ""]
        rows = [["", *found["rungs"]]]
        for name, by_rung in measure_table(claims).items():
            cells = [interval_text(by_rung[r]) if r in by_rung else "–" for r in found["rungs"]]
            decides = judged(next(iter(by_rung.values())))
            rows.append([f"{name} (decides)" if decides else name, *cells])
        rows.append(["verdict", *(f"**{claim['verdict']}**" for claim in claims)])
        lines += [*_markdown(rows), ""]
    return [*lines, _provenance(found)]


def _reproducing_table(found: Found) -> list[str]:
    """Return claim, command, seeds, what to expect, and how long it takes."""
    rows = [["claim", "command", "expected", "a seed takes"]]
    for number, claims in claims_by_number(found).items():
        name = EXPERIMENT_OF[number]
        expected = []
        for claim in claims:
            expected.append(f"{claim['network']} {claim['verdict']}: {_deciding(claim)}")
        command = f"`{found['command'].replace(' all ', f' {name} ')}`"
        seconds = f"{found['seconds_of_a_seed'][name]:.0f} s"
        rows.append([f"{number}. {CLAIMS[number]}", command, "; ".join(expected), seconds])
    return [*_markdown(rows), "", _provenance(found)]


BLOCKS: Mapping[str, Callable[[Found], list[str]]] = MappingProxyType(
    {
        "claims": _claims_table,
        "measures": _measures_table,
        "reproducing": _reproducing_table,
    }
)


def _deciding(claim: Mapping[str, Any]) -> str:
    return "; ".join(interval_text(one) for one in claim["measures"] if judged(one)) or "–"


def _provenance(found: Found) -> str:
    seeds = found["seeds"]
    minutes = found["computing_s"] / 60.0
    return (
        f"*`{found['command']}`, seeds {seeds[0]} to {seeds[-1]}, {found['date'][:10]}, "
        f"{minutes:.0f} minutes of computing in all; mean and interval of 95 % over seeds.*"
    )


def _markdown(rows: Sequence[Iterable[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]]

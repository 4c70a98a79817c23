"""Mutate the modules that everything else is compared with, and count what the tests notice.

    python benchmarks/mutants.py                  every target; goes on where it was stopped
    python benchmarks/mutants.py theory clamped   some of them
    python benchmarks/mutants.py --survivors      the same, and what no test noticed
    python benchmarks/mutants.py --coverage       the branches that the same tests reach

Each target is a copy of the tree in build/mutants, in which mutmut changes one module. A mutant
that takes many times as long as its tests is stopped and counts as killed. A target whose module
or tests have changed starts again; after other changes, remove build/mutants.
"""

import argparse
import ast
import difflib
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutants"
TOOL = "mutmut==3.8.1"
PACKAGE = "softhebb_spiking"
KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"
# A mutant may take this many times as long as its tests, and as many times this many seconds.
TIMEOUT_FACTOR, TIMEOUT_SECONDS = 4.0, 3.0


# A failure is a failure: hypothesis need not look for a simpler one.
WITHOUT_SHRINKING = """
from hypothesis import Phase, settings
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("mutants")
"""


@dataclass(frozen=True)
class Target:
    """A module to mutate, the tests that are to notice, and what of either is left out."""

    name: str
    path: str
    tests: Sequence[str]
    without: str = ""

    @property
    def mutated(self) -> str:
        """The path in the copy; what pytest imports by itself is moved to where mutmut sees it."""
        moved = {"tests/conftest.py": "float_oracle.py"}
        return moved.get(self.path, self.path.removeprefix("tests/"))

    @property
    def folder(self) -> Path:
        """The copy."""
        return WORK / self.name


# Of the tests of whole verifications, which take minutes, those that do not.
BOUNDS, FLOOR, MATCHING = (
    f"test_verification.py::test_{name}"
    for name in (
        "bounds_of_a_check",
        "sampling_floor_is_the_mean_distance_of_multinomial_draws",
        "matching_undoes_a_permutation",
    )
)

# Between a warning and who asked for it, mutmut puts calls of its own.
ASKED = "asked_for"

TARGETS = (
    Target("theory", f"{PACKAGE}/theory.py", ["test_theory.py"]),
    Target("fixed_point", f"{PACKAGE}/fixed_point.py", ["test_fixed_point.py"], ASKED),
    Target("fixed_learning", f"{PACKAGE}/fixed_learning.py", ["test_fixed_network.py"]),
    Target("fixed_network", f"{PACKAGE}/fixed_network.py", ["test_fixed_network.py"], ASKED),
    Target("rate", f"{PACKAGE}/rate.py", ["test_rate.py"]),
    Target("integer_oracle", "tests/integer_oracle.py", ["test_integers.py"]),
    Target("float_oracle", "tests/conftest.py", ["test_event.py"]),
    *(
        Target(name, f"{PACKAGE}/verification/{name}.py", tests)
        for name, *tests in (
            ("check", "test_comparisons.py", BOUNDS),
            ("_statistics", "test_comparisons.py", FLOOR, MATCHING),
            ("_plan", "test_comparisons.py"),
            ("clamped", "test_comparisons.py"),
            ("integers", "test_comparisons.py"),
            ("posterior", "test_posterior.py"),
            ("expected_update", "test_expected_update.py"),
            ("learning", "test_learning.py"),
            ("clusters", "test_learning.py"),
            ("ladder", "test_ladder.py"),
            ("figures", "test_figures.py"),
            ("report", "test_figures.py"),
            ("budget", "test_budget.py"),
        )
    ),
    Target(
        "_budget_kernel",
        f"{PACKAGE}/verification/_budget_kernel.py",
        ["test_budget.py"],
        without="test_the_budget_sums_up",  # minutes, where nothing is compiled
    ),
)


def arguments(without: str) -> list[str]:
    """Return those of pytest; what Lava, Brian2 or more than ten seconds take is left out."""
    chosen = ["-p", "no:cacheprovider", "-m", "not lava and not brian2 and not slow"]
    return chosen + (["-k", f"not {without}"] if without else [])


def fingerprint(target: Target) -> str:
    """Return a hash of the module and of the tests that are to notice."""
    digest = hashlib.sha256(repr((target, TOOL)).encode())
    tests = (
        (ROOT / "tests").glob("[!t]*.py"),
        {ROOT / "tests" / name.split("::")[0] for name in target.tests},
    )
    for path in (ROOT / target.path, *sorted(tests[0]), *sorted(tests[1])):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def visible_to_mutmut(source: str) -> str:
    """Return a module whose decorated functions can be mutated, which mutmut passes over.

    Compiled functions become plain ones; properties are made below their functions.
    """
    source = re.sub(r"^@njit\(cache=True\)\n", "", source, flags=re.MULTILINE)
    lines: list[str] = []
    name = ""
    for line in source.splitlines():
        if name and line.strip() and not line.startswith("     "):
            lines.append(f"    {name} = property({name})")
            name = ""
        if lines and lines[-1] == "    @property":
            lines.pop()
            name = re.findall(r"def (\w+)", line)[0]
        lines.append(line)
    return "\n".join(lines) + "\n"


def cut_out(source: str, *names: str) -> str:
    """Return the imports of a module, and some of its functions and classes."""
    body = ast.parse(source).body
    kept = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    kept += [node for node in body if getattr(node, "name", "") in names]
    lines = source.splitlines()
    firsts = [min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", []))]) for n in kept]
    parts = [lines[first - 1 : n.end_lineno] for first, n in zip(firsts, kept, strict=True)]
    return "\n".join("\n".join(part) for part in parts) + "\n"


def prepare(target: Target) -> None:
    """Make the copy of the tree that mutmut works in."""
    copy_tree(target.folder)
    source = (ROOT / target.path).read_text(encoding="utf-8")
    conftest = target.folder / "tests" / "conftest.py"
    if target.path == "tests/conftest.py":
        source = cut_out(source, "OracleResult", "_run_oracle")
        with conftest.open("a") as out:
            out.write("\nfrom float_oracle import _run_oracle\n")
    elif target.path != target.mutated:
        (target.folder / target.path).unlink()
    (target.folder / target.mutated).write_text(visible_to_mutmut(source), encoding="utf-8")
    with conftest.open("a") as out:
        out.write(WITHOUT_SHRINKING)
    lines = [
        "[mutmut]",
        f"source_paths = {target.mutated}",
        f"also_copy = {PACKAGE}",
        "pytest_add_cli_args_test_selection =",
        *(f"    tests/{test}" for test in target.tests),
        "pytest_add_cli_args =",
        *(f"    {argument}" for argument in arguments(target.without)),
        f"timeout_multiplier = {TIMEOUT_FACTOR}",
        f"timeout_constant = {TIMEOUT_SECONDS}",
        "track_dependencies = false",
        "use_git_change_detection = false",
    ]
    with (target.folder / "setup.cfg").open("a") as out:
        out.write("\n".join(["", *lines, ""]))


def copy_tree(folder: Path) -> None:
    """Copy package and tests; links become folders, and what numba compiled comes along."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in (PACKAGE, "tests"):
        shutil.copytree(ROOT / name, folder / name)
    settings = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    if settings.count("pythonpath = tests\n") != 1:
        raise SystemExit("setup.cfg no longer has the line: pythonpath = tests")
    settings = settings.replace("pythonpath = tests\n", "pythonpath = tests .\n")
    (folder / "setup.cfg").write_text(settings, encoding="utf-8")


def run(target: Target, processes: int) -> None:
    """Go on with the mutants that have no result yet."""
    stamp, wanted = target.folder / "fingerprint", fingerprint(target)
    if not stamp.exists() or stamp.read_text() != wanted:
        prepare(target)
        stamp.write_text(wanted)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes)]
    log = target.folder / "log.txt"
    with log.open("w") as out:
        done = subprocess.run(command, cwd=target.folder, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        print(f"{target.name}: mutmut failed; see {log.relative_to(ROOT)}")


def outcomes(target: Target) -> dict[str, str]:
    """Return what became of each mutant, by its name."""
    meta = target.folder / "mutants" / f"{target.mutated}.meta"
    codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    return {
        name: {0: SURVIVED, 33: SURVIVED, None: "not run", -24: TIMED_OUT}.get(code, KILLED)
        for name, code in codes.items()
    }


def survivors(target: Target) -> Iterator[str]:
    """Yield the difference that each survivor made."""
    source = (target.folder / "mutants" / target.mutated).read_text(encoding="utf-8")
    lines = source.splitlines()
    functions = {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    for key, outcome in outcomes(target).items():
        if outcome == SURVIVED:
            name = key.rpartition(".")[2]
            original = functions[re.sub(r"__mutmut_\d+$", "__mutmut_orig", name)]
            changes = difflib.unified_diff(original, functions[name], n=0, lineterm="")
            changed = [line for line in changes if not line.startswith(("---", "+++", "@@"))]
            yield "\n".join([name, *changed])


def measure_coverage(targets: Sequence[Target]) -> None:
    """Print what the tests of all targets reach of each, compiled functions run as plain ones."""
    folder = WORK / "coverage"
    copy_tree(folder)
    for target in targets:
        compiled = (ROOT / target.path).read_text(encoding="utf-8")
        (folder / target.path).write_text(compiled.replace("@njit(cache=True)\n", ""))
    include = "--include=" + ",".join(target.path for target in targets)
    tests = sorted({f"tests/{test}" for target in targets for test in target.tests})
    settings = (folder / "setup.cfg").read_text().replace(f"source_pkgs = {PACKAGE}", "")
    (folder / "setup.cfg").write_text(settings)
    command = ["coverage", "run", "--branch", include, "-m", "pytest", "-q", *tests]
    command += arguments(without="sums_up")
    for step in (command, ["coverage", "json"]):
        done = subprocess.run(
            [sys.executable, "-m", *step], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(f"{'module':18}{'statements':>11}{'missed':>8}{'branches':>10}{'missed':>8}{'rate':>9}")
    files = json.loads((folder / "coverage.json").read_text())["files"]
    for target in targets:
        part = files[target.path]
        if target.name == "float_oracle":
            part = part["functions"]["_run_oracle"]
        n, total = part["summary"]["num_branches"], part["summary"]
        missed = n - total["covered_branches"]
        rate = f"{int(1000 * (n - missed) / n) / 10}%" if n else "none"
        print(
            f"{target.name:18}{total['num_statements']:11}{total['missing_lines']:8}{n:10}"
            f"{missed:8}{rate:>9}  {part['missing_lines'] or ''} {part['missing_branches'] or ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--table", action="store_true", help="print what has been found so far")
    given = parser.parse_args()
    by_name = {target.name: target for target in TARGETS}
    unknown = set(given.targets) - set(by_name)
    if unknown:
        parser.error(
            f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(by_name)}"
        )
    if importlib.util.find_spec("mutmut") is None:
        raise SystemExit(f'mutmut is not installed: pip install "{TOOL}" (see docs/mutants.md).')
    chosen = [by_name[name] for name in given.targets or by_name]
    if given.coverage:
        measure_coverage(chosen)
        return
    print(f"{'module':18}{'mutants':>9}{KILLED:>9}{TIMED_OUT:>11}{SURVIVED:>10}{'rate':>8}")
    for target in chosen:
        if not given.table:
            run(target, given.processes)
        if not (target.folder / "mutants" / f"{target.mutated}.meta").exists():
            continue
        found = Counter(outcomes(target).values())
        n = found.total() - found["not run"]
        rate = 100 * (found[KILLED] + found[TIMED_OUT]) / max(n, 1)
        row = f"{target.name:18}{n:9}{found[KILLED]:9}{found[TIMED_OUT]:11}{found[SURVIVED]:10}"
        print(
            f"{row}{int(rate * 10) / 10:7.1f}%"
            + (f"  {found['not run']} not run" * bool(found["not run"]))
        )
        sys.stdout.flush()
        if given.survivors:
            print(*survivors(target), sep="\n\n", end="\n\n")


if __name__ == "__main__":
    main()

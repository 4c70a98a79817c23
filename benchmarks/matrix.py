"""Install the project on each supported Python found here and learn on every backend.

Standard library only, since it runs before anything is installed. An interpreter that is not
found is reported and is no failure; a check that fails is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12")
BACKENDS = ("lava", "brian2", "event")
INSTALL_SECONDS = 1200
CHECK_SECONDS = 300
PACKAGES = ("numpy", "lava-nc", "brian2", "numba")
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "verify-report"
)
# ensurepip too: some distributions ship an interpreter that cannot make an environment.
PROBE = "import ensurepip, sys, venv; print('%d.%d.%d' % sys.version_info[:3])"
LIST = f"""
from importlib.metadata import version
print(*(name + " " + version(name) for name in {PACKAGES}), sep=", ")
"""


class Row(NamedTuple):
    """One line of the table."""

    python: str
    path: str
    packages: str = ""
    results: tuple[str, ...] = ("-",) * len(BACKENDS)
    failed: bool = False


def output_of(*command: str | Path, seconds: float = 60) -> str | None:
    """Return what a command prints, or None if it does not exist, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=True, cwd=os.sep
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def candidates(version: str) -> Iterator[str | Path]:
    """Yield what may be an interpreter of `version`: PATH, pyenv, uv."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    roots = (os.environ.get("PYENV_ROOT"), output_of("pyenv", "root"), Path.home() / ".pyenv")
    for root in filter(None, roots):
        yield from sorted(Path(root).glob(f"versions/{version}.*/bin/python"), reverse=True)
    yield output_of("uv", "python", "find", "--no-project", version) or ""


def find_interpreter(version: str) -> tuple[str, str] | None:
    """Return path and full version of the first candidate that runs (a pyenv shim may not)."""
    for path in candidates(version):
        if not path or not Path(path).is_file():
            continue
        full = output_of(path, "-c", PROBE)
        if full and full.startswith(version + "."):
            return str(path), full
    return None


def install(path: str, version: str, folder: Path) -> Path:
    """Install the project, Lava and Brian2 from wheels; return the environment's interpreter."""
    subprocess.run([path, "-m", "venv", folder / "venv"], check=True, timeout=INSTALL_SECONDS)
    # A copy, so that the build leaves nothing in the checkout and takes nothing stale from it.
    source = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=NOT_SOURCE)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--only-binary", ":all:"]
    pip += ["--constraint", source / "constraints.txt"]
    steps: list[list[str]] = [
        ["setuptools"],
        ["--no-build-isolation", f"{source}[lava,brian2]"],
    ]
    if version != "3.10":
        steps.append(["--no-deps", "--ignore-requires-python", "lava-nc"])
    for step in steps:
        subprocess.run([*pip, *step], check=True, timeout=INSTALL_SECONDS)
    return python


def check(python: Path, backend: str, folder: Path) -> str:
    """Run one backend with a time limit; return 'ok 1.2 s' or 'FAILED 1.2 s'."""
    command = [python, ROOT / "benchmarks" / "matrix_check.py", backend]
    start = time.monotonic()
    # Its own session, so that a hang takes Lava's worker processes along.
    process = subprocess.Popen(command, cwd=folder, start_new_session=True)
    try:
        ok = process.wait(timeout=CHECK_SECONDS) == 0
    except subprocess.TimeoutExpired:
        ok = False
        print(f"{backend}: no end after {CHECK_SECONDS} s", flush=True)
    finally:
        kill_session(process)
    return f"{'ok' if ok else 'FAILED'} {time.monotonic() - start:.1f} s"


def kill_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill whatever is left of the process and its children."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait()


def run(version: str) -> Row:
    """Install on one version of Python and run every backend there."""
    found = find_interpreter(version)
    if found is None:
        return Row(version, "not found")
    path, full = found
    print(f"== Python {full} ({path})", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="softhebb-matrix-"))
    try:
        python = install(path, version, folder)
        packages = output_of(python, "-c", LIST) or "?"
        results = tuple(check(python, backend, folder) for backend in BACKENDS)
    except subprocess.SubprocessError as error:
        print(f"Python {full}: installing failed: {error}", flush=True)
        return Row(full, path, "not installed", failed=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Row(full, path, packages, results, any(r.startswith("FAILED") for r in results))


def print_table(rows: list[Row]) -> None:
    header = ("python", *BACKENDS, "interpreter", "packages")
    lines = [header] + [(row.python, *row.results, row.path, row.packages) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def main() -> int:
    """Return 1 if a check or an installation failed, or no interpreter was found at all."""
    rows = [run(version) for version in VERSIONS]
    print()
    print_table(rows)
    none_ran = all(row.path == "not found" for row in rows)
    if none_ran:
        print(f"no interpreter found for any of {', '.join(VERSIONS)}")
    return int(none_ran or any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())

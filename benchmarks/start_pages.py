"""Follow each start page of the documentation in a fresh environment, and time it.

    python benchmarks/start_pages.py

makes an environment for each page, installs what the page asks for, runs all of its code there as
a reader would, and prints minutes. Standard library only.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matrix import NOT_SOURCE, ROOT, kill_session

EXTRAS = {"machine_learning": "", "lava": "[lava]", "brian2": "[brian2]", "neuroscience": "[neuro]"}
LIMIT_S = 1800
# Lava needs one more step on Python 3.11 and later; NIX comes as source, which is Python alone.
LAVA_STEP = ["--no-deps", "--ignore-requires-python", "lava-nc"]
CODE = """
import doctest, sys
failed, tried = doctest.testfile(sys.argv[1], module_relative=False)
print(tried, "examples,", failed, "failed")
sys.exit(failed > 0 or tried == 0)
"""


def follow(page: str, folder: Path) -> str:
    """Return a line that says how long the page took, or what failed."""
    source = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=NOT_SOURCE)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--only-binary", ":all:", "--no-binary", "nixio"]
    pip += ["--constraint", source / "constraints.txt"]
    steps = [[sys.executable, "-m", "venv", folder / "venv"], [*pip, "setuptools"]]
    steps.append([*pip, "--no-build-isolation", f"{source}{EXTRAS[page]}"])
    if page == "lava" and sys.version_info >= (3, 11):
        steps.append([*pip, *LAVA_STEP])
    started = time.monotonic()
    for step in steps:
        run(step, folder)
    installed = time.monotonic()
    printed = run([python, "-c", CODE, source / "docs" / "start" / f"{page}.md"], folder)
    ended = time.monotonic()
    return (
        f"{page}: installed in {(installed - started) / 60:.1f} min, "
        f"code run in {(ended - installed) / 60:.1f} min ({printed.strip()})"
    )


def run(command: list[str | Path], folder: Path) -> str:
    """Return what a command prints; it has an empty home, a time limit, and takes its children."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=LIMIT_S)
    finally:
        kill_session(process)
    if process.returncode:
        raise SystemExit(f"{command[0]} ... ended with {process.returncode}:\n{printed[-3000:]}")
    return printed


if __name__ == "__main__":
    print("load", *os.getloadavg(), flush=True)
    for name in sys.argv[1:] or EXTRAS:
        with tempfile.TemporaryDirectory(prefix="softhebb-start-") as scratch:
            print(follow(name, Path(scratch)), flush=True)

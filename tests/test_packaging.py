"""What is installed is what is in the tree, and nothing else."""

import configparser
import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import softhebb_spiking

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "softhebb_spiking": "softhebb_spiking",
    "processes": "softhebb_spiking.processes",
    "networks": "softhebb_spiking.networks",
}


def packages_in_tree(root: Path) -> set[str]:
    """Names of all folders with an __init__.py, not following links."""
    found = set()
    for folder, package in FOLDERS.items():
        for init in (root / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(root / folder).parts
            found.add(".".join((package, *parts)))
    return found


def listed_packages(setup_cfg: str) -> list[str]:
    config = configparser.ConfigParser()
    config.read_string(setup_cfg)
    return config["options"]["packages"].split()


def table_names(toml: str) -> set[str]:
    """First parts of a TOML file's table headers (tomllib is 3.11+)."""
    return {name.split(".")[0] for name in re.findall(r"^\[+([^\]\s]+)\]+", toml, re.MULTILINE)}


def test_packages_are_those_of_the_tree() -> None:
    listed = listed_packages((ROOT / "setup.cfg").read_text())
    assert len(listed) == len(set(listed))
    assert set(listed) == packages_in_tree(ROOT)


def test_a_folder_that_is_not_listed_is_seen(tmp_path: Path) -> None:
    for folder in ("softhebb_spiking", "softhebb_spiking/new", "processes/newer", "networks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "softhebb_spiking" / "networks").symlink_to("../networks")
    assert packages_in_tree(tmp_path) == {
        "softhebb_spiking",
        "softhebb_spiking.new",
        "softhebb_spiking.processes.newer",
        "softhebb_spiking.networks",
    }


@pytest.mark.parametrize("name", ["processes", "networks"])
def test_link_leads_to_the_top_level_folder(name: str) -> None:
    link = ROOT / "softhebb_spiking" / name
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", ["processes", "networks"])
def test_no_bare_name_is_installed(name: str) -> None:
    assert name not in packages_distributions()


def test_constraints_are_exact_pins_without_addresses() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert pins
    pattern = re.compile(
        r'[a-z0-9-]+==[0-9][0-9.]*((b|rc|post)[0-9]+)?( ; python_version (<|>=) "3\.1[0-9]")?'
    )
    assert [line for line in pins if not pattern.fullmatch(line)] == []
    assert "://" not in text


def test_one_version_everywhere() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    version = config["metadata"]["version"]
    assert softhebb_spiking.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_pyproject_has_only_build_system_and_tools() -> None:
    assert table_names((ROOT / "pyproject.toml").read_text()) == {"build-system", "tool"}


def test_a_project_table_is_seen() -> None:
    assert table_names('[project]\nname = "x"\n[[tool.mypy.overrides]]\n') == {"project", "tool"}

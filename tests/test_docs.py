"""The documents: code that runs, commands that exist, pages that are reached, a whole reference."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

import softhebb_spiking
from softhebb_spiking import cli
from softhebb_spiking.sweep.spec import read_spec

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = ("auto_gallery", "auto_studies", "gallery", "studies")
PAGES = sorted(
    path
    for suffix in ("md", "rst")
    for path in DOCS.rglob(f"*.{suffix}")
    if path.relative_to(DOCS).parts[0] not in GENERATED
)
DOCUMENTS = [*(page for page in PAGES if page.suffix == ".md")]
DOCUMENTS += [ROOT / "README.md", ROOT / "REPRODUCING.md", ROOT / "CONTRIBUTING.md"]
# Generated, and its programs are run by test_step_programs.py.
PROGRAMS = DOCS / "step_programs.md"
# Commands, of which docs/cli.md has the reference.
COMMAND_MODULES = re.compile(r"softhebb_spiking\.(cli|\w+_commands?)$")


def _site_parts():
    spec = importlib.util.spec_from_file_location("site_parts", DOCS / "site_parts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _name(path):
    return str(path.relative_to(ROOT))


def _blocks(path):
    """Yield (language, lines) of the fenced and indented blocks of code of a document."""
    language, lines = None, []
    for line in path.read_text().replace("\\\n", " ").splitlines():
        fence = re.match(r"\s*```+\s*(\S*)", line)
        if fence and language is None:
            language, lines = fence.group(1), []
        elif fence:
            yield language, lines
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("    softhebb-spiking "):
            yield "sh", [line.strip()]


def _command_lines(path):
    """Return what is typed behind `softhebb-spiking` in blocks of code."""
    joined = [
        line
        for language, lines in _blocks(path)
        if language in ("", "sh", "text")
        for line in lines
    ]
    # `if command ...; then` and `.venv/bin/softhebb-spiking` are commands, too.
    found = [re.search(r"(?:^|if |/)softhebb-spiking (.*)", line.strip()) for line in joined]
    return [re.split(r";| > | 2> ", match.group(1))[0] for match in found if match]


def _mentioned_commands(path):
    """Return what stands behind `softhebb-spiking` in inline code."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    found = re.findall(r"(?<!`)`softhebb-spiking ([a-z][^`]*)`(?!`)", text)
    return [re.sub(r"\s+", " ", command) for command in found]


def _parse(command):
    """Parse a command without running it."""
    group = typer.main.get_command(cli.app)
    arguments = shlex.split(command, comments=True)
    with group.make_context("softhebb-spiking", list(arguments)) as context:
        name, subcommand, rest = group.resolve_command(context, arguments)
        subcommand.make_context(name, rest, parent=context)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_commands_in_documents_exist_and_take_their_options(document):
    for command in _command_lines(document):
        try:
            _parse(command)
        except typer.TyperException as error:
            pytest.fail(f"softhebb-spiking {command}: {error.format_message()}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_commands_that_documents_mention_exist(document):
    for command in _mentioned_commands(document):
        try:
            _parse(command)
        except typer.TyperException as error:
            if type(error).__name__ != "MissingParameter":  # a mention need not be complete
                pytest.fail(f"softhebb-spiking {command}: {error.format_message()}")


@pytest.mark.parametrize(
    "command", ["climb", "train --output m --unites 3", "plan m --chip loihi2 --samples many"]
)
def test_wrong_commands_would_be_found(command):
    with pytest.raises(typer.TyperException):
        _parse(command)


def test_examples_in_the_reference_of_commands_parse():
    examples = re.findall(
        r"^softhebb-spiking ([a-z][^[\n]*)$", "\n".join(_site_parts().command_reference()), re.M
    )
    assert len(examples) >= 8
    for example in examples:
        _parse(example)


def test_documents_have_commands():
    assert len(_command_lines(DOCS / "cli.md")) >= 8
    assert len(_mentioned_commands(ROOT / "README.md")) >= 8


@pytest.mark.parametrize("page", ["cli.md", "start/machine_learning.md", "start/lava.md"])
def test_commands_of_start_pages_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line for line in _command_lines(DOCS / page) if "mnist" not in line]
    assert commands
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["softhebb-spiking", *shlex.split(command)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        assert exit_info.value.code == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d != PROGRAMS], ids=_name)
def test_every_block_of_python_is_run_as_a_doctest(document):
    for language, lines in _blocks(document):
        if language in ("python", "pycon", "py"):
            assert lines[0].startswith(">>> "), f"is not run: {lines[0]}"
            # The doctest parser takes the closing fence for output without an empty line.
            assert lines[-1] == "", f"needs an empty line at its end: {lines[-1]}"


def test_the_sweep_of_the_documents_is_accepted(tmp_path):
    (spec,) = [lines for language, lines in _blocks(DOCS / "sweep.md") if language == "toml"]
    (tmp_path / "spec.toml").write_text("\n".join(spec))
    assert len(read_spec(tmp_path / "spec.toml").tasks) == 2 * 2 * 3


def test_every_page_is_in_one_table_of_contents():
    entries = []
    for page in PAGES:
        blocks = re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL)
        blocks += re.findall(r"\.\. toctree::\n((?:   .*\n|\n)*)", page.read_text())
        for line in "\n".join(blocks).splitlines():
            if line.strip() and not line.strip().startswith(":"):
                entries.append((page.parent / line.strip()).relative_to(DOCS).as_posix())
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} - {"index"}
    assert sorted(entries) == sorted(pages | {"auto_gallery/index", "auto_studies/index"})


def _documented_modules():
    text = "".join(page.read_text() for page in sorted((DOCS / "api").glob("*.rst")))
    blocks = re.findall(r"\.\. automodule:: (\S+)\n((?:   .*\n)*)", text)
    assert all(":members:" in options for _, options in blocks)
    return [module for module, _ in blocks]


def _public_modules():
    return [name for name in _site_parts().public_modules() if not COMMAND_MODULES.match(name)]


def _described(module):
    """Return the functions and classes that the reference of a module has, by their names."""
    exported = getattr(module, "__all__", None)
    found = {name: getattr(module, name) for name in exported or vars(module) if name[0] != "_"}
    return {
        name: item
        for name, item in found.items()
        if callable(item)
        and inspect.getdoc(item)
        and (exported or getattr(item, "__module__", None) == module.__name__)
    }


def test_reference_has_every_documented_function_and_class():
    documented = _documented_modules()
    assert len(documented) == len(set(documented))
    described = {
        id(item)
        for module in documented
        for item in _described(importlib.import_module(module)).values()
    }
    missing = [
        f"{module}.{name}"
        for module in _public_modules()
        # A package that is described as a whole says itself what of its modules is for users.
        if module.rpartition(".")[0] not in documented
        for name, item in _described(importlib.import_module(module)).items()
        if id(item) not in described
    ]
    assert missing == []


def test_reference_of_commands_has_every_option():
    sections = ("\n" + "\n".join(_site_parts().command_reference())).split("\n### ")
    described = {text.partition("\n")[0]: text for text in sections[1:]}
    commands = typer.main.get_command(cli.app).commands
    assert set(described) == set(commands)
    for name, command in commands.items():
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                text = described[name]
                assert f"`{option}" in text or f", {option}" in text or option == "--help", name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_site_is_built_without_warnings_or_network_and_describes_every_public_name(tmp_path):
    pytest.importorskip("sphinx_gallery")
    from sphinx.util.inventory import InventoryFile

    # A copy, because the galleries are written beside their sources.
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("auto_*"))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "softhebb_spiking"):
        (tmp_path / name).symlink_to(ROOT / name)
    site = tmp_path / "site"
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    build += ["-D", "plot_gallery=0", "docs", str(site)]
    done = subprocess.run(
        build, cwd=tmp_path, env={**os.environ, "MPLBACKEND": "agg"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    described = {name for kind, names in inventory.data.items() for name in names}
    missing = [
        f"{module}.{name}"
        for module in _documented_modules()
        for name in _described(importlib.import_module(module))
        if f"{module}.{name}" not in described
    ]
    assert missing == []
    index = (site / "api" / "index.html").read_text()
    for name in softhebb_spiking.__all__:
        assert name.startswith("_") or re.search(rf'href="[^"]*\.{name}"', index), name
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert loaded == [], f"{page.name} loads {loaded}"

"""What the site adds to Sphinx: formulas in MathML, and the commands from the application."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import typer.main
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

COMMANDS_MARK = "<!-- commands -->"
COMPLETION_MARK = "<!-- completion -->"
NAMES_MARK = ".. public-names"


def inline_math(writer: Any, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def display_math(writer: Any, node: nodes.math_block) -> None:
    """Write a displayed formula as MathML."""
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def fill_marks(app: Any, docname: str, source: list[str]) -> None:
    """Put the reference of commands, and the list of public names, where pages have marks."""
    if docname == "cli":
        source[0] = source[0].replace(COMMANDS_MARK, "\n".join(command_reference()))
        source[0] = source[0].replace(COMPLETION_MARK, completion())
    if docname == "api/index":
        source[0] = source[0].replace(NAMES_MARK, "\n".join(public_names()))


def public_names() -> Iterator[str]:
    """Yield a list of what `softhebb_spiking` gives, as links to where it is described."""
    import softhebb_spiking

    for name in softhebb_spiking.__all__:
        if not name.startswith("_"):
            found = getattr(softhebb_spiking, name)
            summary = re.sub(r" \[\d\]_", "", inspect.getdoc(found).splitlines()[0])
            yield f"- `{name} <{found.__module__}.{name}>`: {summary}"


def command_reference() -> Iterator[str]:
    """Yield the lines of the reference: usage, help, example and options of each command."""
    from softhebb_spiking.cli import app

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield from _command_lines(f"softhebb-spiking {name}", command)


def trim_code(app: Any, doctree: nodes.document) -> None:
    """Take away the empty line with which the doctest parser wants a block of code to end."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip()
        block.rawsource = text
        block[:] = [nodes.Text(text)]


def completion() -> str:
    """Return how shells learn to complete commands, if the application can teach them."""
    from softhebb_spiking.cli import app

    options = {option for item in typer.main.get_command(app).params for option in item.opts}
    if "--install-completion" not in options:
        return ""
    return """## Completion

`softhebb-spiking --install-completion` teaches the shell that runs it (bash, zsh, fish, PowerShell)
to complete commands and options, from the next shell on; `--show-completion` prints the same.
"""


def _command_lines(name: str, command: Any) -> Iterator[str]:
    for child, subcommand in sorted(getattr(command, "commands", {}).items()):
        yield from _command_lines(f"{name} {child}", subcommand)
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    usage = [name, *(item.name.upper() for item in arguments), "[OPTIONS]"]
    yield from (f"### {name.removeprefix('softhebb-spiking ')}", "", "```text")
    yield from (" ".join(usage), "```", "", *_help_lines(command.help), "")
    example = (command.epilog or "").removeprefix("Example: ")
    if example:
        yield from ("```sh", example, "```", "")
    shown = [item for item in options if not getattr(item, "hidden", False) and item.name != "help"]
    if arguments or shown:
        yield from ("| argument or option | meaning | default |", "|---|---|---|")
        yield from (_row(item) for item in (*arguments, *shown))
    yield ""


def _help_lines(text: str | None) -> Iterator[str]:
    """Yield a help text, its examples as blocks of code."""
    for paragraph in (text or "").replace("\b", "").split("\n\n"):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        is_example = bool(lines) and lines[0].startswith("softhebb-spiking ")
        text = [re.sub(r"(?<![`\w])--[a-z][a-z-]*", r"`\g<0>`", line) for line in lines]
        yield from ["```sh", *lines, "```", ""] if is_example else [*text, ""]


def _row(item: Any) -> str:
    is_argument = item.param_type_name == "argument"
    names = item.name.upper() if is_argument else ", ".join(item.opts + item.secondary_opts)
    default = "required" if item.required else _default(item)
    text = " ".join((getattr(item, "help", None) or "").split()).replace("|", "\\|")
    return f"| `{names}` | {text} | {default} |"


def _default(item: Any) -> str:
    value = item.default
    if value in (None, "") or callable(value):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def hide_private_bases(app: Any, name: str, found: Any, options: Any, bases: list[Any]) -> None:
    """Leave out bases that no page describes."""
    bases[:] = [base for base in bases if not base.__name__.startswith("_")] or [object]


_properties: dict[str, list[str]] = {}


def keep_properties(
    app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Keep the text of a property: napoleon would take what stands before a colon for its type."""
    if what == "property":
        _properties[name] = list(lines)


def mend_docstring(
    app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Give numbered references names, for modules share a page, and |x| its bars."""
    lines[:] = _properties.pop(name, lines)
    owner = name if any(line.startswith(".. [1]") for line in lines) else _module_of(name)
    label = owner.replace(".", "-").replace("_", "-")
    for number, line in enumerate(lines):
        named = re.sub(r"\[(\d+)\](?=_| )", rf"[#{label}-\1]", line)
        lines[number] = named if "`" in named else named.replace("|", "\\|")


def _module_of(name: str) -> str:
    parts = name.split(".")
    while ".".join(parts) not in sys.modules:
        parts.pop()
    return ".".join(parts)


def public_modules() -> Iterator[str]:
    """Yield the names of all modules of the package that are meant for users."""
    import softhebb_spiking

    yield from _public_children(softhebb_spiking)


def _public_children(package: ModuleType) -> Iterator[str]:
    for item in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if item.name.rsplit(".", 1)[1].startswith("_"):
            continue
        yield item.name
        if item.ispkg:
            yield from _public_children(importlib.import_module(item.name))

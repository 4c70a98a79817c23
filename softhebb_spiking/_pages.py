"""Reports: a page of HTML that needs no other file, and JSON beside it, written whole or not."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softhebb_spiking import __version__
from softhebb_spiking.serialization import put_in_place, scratch_file

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

_LIBRARIES = ("numpy", "numba", "lava-nc", "brian2")
_DPI = 180  # of the points in the pictures; everything else is vectors


def require_installed() -> None:
    """Raise unless the libraries that draw and print reports are there.

    Raises
    ------
    ImportError
        With the install line.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the report needs {error.name or 'jinja2 and matplotlib'}: "
            'pip install "softhebb-spiking[report]"'
        ) from error


def check_writable(directory: str | Path, names: Iterable[str]) -> None:
    """Raise unless a report could be written to `directory`; for commands that compute first.

    The directory is created if need be, and nothing is left in it.

    Parameters
    ----------
    directory : str or Path
        Where.
    names : iterable of str
        The files that will be written.

    Raises
    ------
    OSError
        If it cannot be created or written to.
    ImportError
        If a library that the report needs is not installed.
    """
    require_installed()
    folder = Path(directory)
    paths = [folder / name for name in names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_file(paths[0]):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(f"cannot write {path}: it is a folder; remove it.")


def _unwritable(folder: Path, error: OSError) -> OSError:
    return type(error)(
        f"cannot write the report to {folder}: {error.strerror or error}; choose another folder."
    )


def write_together(files: Mapping[Path, str]) -> None:
    """Write all files beside their places first, so that a failure leaves the old ones whole.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    try:
        with ExitStack() as stack:
            written = [(stack.enter_context(scratch_file(path)), path) for path in files]
            for file, path in written:
                file.write(files[path].encode("utf-8"))
                file.flush()  # so that a full disk is noticed before any file is replaced
            for file, path in written:
                put_in_place(file, path)
    except OSError as error:
        raise _unwritable(next(iter(files)).parent, error) from error


def page_environment() -> jinja2.Environment:
    """Return where the templates of pages are found; what they print is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("softhebb_spiking"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def versions(libraries: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """Return the versions of Python, this package, and libraries that are installed."""
    found = {"python": platform.python_version(), "softhebb-spiking": __version__}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def data_uri(figure: Figure) -> str:
    """Return a picture as an image that is its own address."""
    buffer = io.BytesIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata=nothing)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

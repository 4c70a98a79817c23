"""Make Lava importable on every Python that this package supports.

lava-nc 0.10.0 is Lava's last release and declares Python 3.10 only. On 3.11 and later a single
line of it is rejected: `lava.magma.compiler.var_model` uses instances of the dataclass
`ByteEncoder` as defaults of other dataclasses, which since Python 3.11 must be hashable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from typing import Any

_MENDED_MODULE = "lava.magma.compiler.var_model"
_MENDED_CLASS = "ByteEncoder"
_FORKING_MODULE = "lava.magma.runtime.message_infrastructure.multiprocessing"

_INSTALL_310 = 'pip install "softhebb-spiking[lava]"'
_INSTALL_LATER = (
    "pip install --no-deps --ignore-requires-python lava-nc==0.10.0\n"
    '    pip install "asteval>=0.9.31,<0.10" "networkx<=2.8.7" "numpy>=1.24.4,<2" scipy'
)


def require_lava() -> None:
    """Import Lava, mending it first where this Python would reject it.

    Call it before the first import of Lava; calling it again does nothing.

    Raises
    ------
    ImportError
        If Lava, or something that Lava needs, is not installed; the message says how to install.
    """
    try:
        with _hashable_dataclass_default(), _start_method_may_be_set_already():
            importlib.import_module(_MENDED_MODULE)
            importlib.import_module(_FORKING_MODULE)
    except ModuleNotFoundError as error:
        raise ImportError(_install_message(error.name or "lava")) from error


def _install_message(missing: str) -> str:
    """Return what to install, for the Python that runs."""
    command = _INSTALL_310 if sys.version_info < (3, 11) else _INSTALL_LATER
    return (
        f"The Lava backend needs lava-nc 0.10.0, but the module {missing!r} cannot be found. "
        f"On Python {sys.version_info.major}.{sys.version_info.minor}, install it with\n"
        f"    {command}"
    )


@contextlib.contextmanager
def _start_method_may_be_set_already() -> Iterator[None]:
    """Let Lava, which asks for "fork" when it is imported, ask for what there is already.

    Whatever has used multiprocessing before, such as a grid search, has settled the method, and
    `multiprocessing` refuses to set it again even to the same one.
    """
    original: Callable[..., None] = multiprocessing.set_start_method

    def set_start_method(method: str | None, force: bool = False) -> None:
        same = method == multiprocessing.get_start_method(allow_none=True)
        original(method, force=force or same)

    multiprocessing.set_start_method = set_start_method
    try:
        yield
    finally:
        multiprocessing.set_start_method = original


@contextlib.contextmanager
def _hashable_dataclass_default() -> Iterator[None]:
    """Give Lava's `ByteEncoder` the hash that its use as a default asks for."""
    if sys.version_info < (3, 11) or _MENDED_MODULE in sys.modules:
        yield
        return
    original: Callable[..., Any] = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda decorated: dataclass(decorated, **options)
        if (cls.__module__, cls.__name__) == (_MENDED_MODULE, _MENDED_CLASS):
            options["unsafe_hash"] = True
        return original(cls, **options)

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = original

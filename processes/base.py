"""What the Processes of this package have in common."""

from typing import Any

from lava.magma.core.process.process import AbstractProcess


class CheckedProcess(AbstractProcess):
    """A Process whose constructor may reject its arguments.

    Lava stops a Process when it is deleted, and looks for its runtime even if the constructor never
    got as far as setting one.
    """

    _runtime: Any = None

"""Writes the counts of every step to a file."""

from typing import Any

from lava.magma.core.process.ports.ports import InPort

from softhebb_spiking.processes.base import CheckedProcess
from softhebb_spiking.validation import check_integer


class CountRecorder(CheckedProcess):
    """Record what arrives in each step, as rows of 64-bit integers in ``counts.bin``.

    Lava's own ring buffer holds the same in a Var, but hands a Var over one element at a time,
    about 50 µs each.

    Parameters
    ----------
    n_units : int
        Numbers in a row.
    record_to : str
        Directory of the file.
    name : str, optional
        Name of the Process.
    log_config : LogConfig, optional
        Lava's logging options.

    Attributes
    ----------
    a_in : InPort of shape (n_units,)
        Counts.
    """

    def __init__(
        self, *, n_units: int, record_to: str, name: str | None = None, log_config: Any = None
    ) -> None:
        check_integer("n_units", n_units, 1)
        super().__init__(n_units=n_units, record_to=record_to, name=name, log_config=log_config)
        self.a_in = InPort(shape=(n_units,))

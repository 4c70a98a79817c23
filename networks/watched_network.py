"""What networks have in common: they run under watch, and end as a whole."""

from types import TracebackType
from typing import Any, TypeVar

from lava.magma.core.run_conditions import RunSteps

from softhebb_spiking.networks import supervision
from softhebb_spiking.networks.targets import run_configuration
from softhebb_spiking.validation import check_real

NetworkT = TypeVar("NetworkT", bound="WatchedNetwork")


class WatchedNetwork:
    """Connected Processes that are shown samples once; subclasses build them.

    Parameters
    ----------
    process : AbstractProcess
        Any Process of the network.
    n_steps : int
        Lava steps that showing all samples takes.
    fixed : bool
        Whether models in integers run.
    timeout_s : float
        Seconds in which even a busy machine should have run it.
    description : str
        What runs, as the subject of a sentence.
    """

    def __init__(
        self, process: Any, n_steps: int, *, fixed: bool, timeout_s: float, description: str
    ) -> None:
        supervision.check_temporary_folder()
        self.n_steps = n_steps
        self._process = process
        self._target = "simulation-fixed" if fixed else "simulation-float"
        self._timeout_s, self._description = timeout_s, description
        self._ended = False

    def present(self, *, timeout_s: float | None = None) -> None:
        """Show all samples; blocks until the last one has been shown.

        Whatever it raises, also KeyboardInterrupt, it has ended the network before.

        Parameters
        ----------
        timeout_s : float, optional
            Seconds after which the run is given up; by default many times what it should take.

        Raises
        ------
        RuntimeError
            If a model fails, with its traceback; or if the network has ended.
        TimeoutError
            If the run does not end in time.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        check_real("timeout_s", timeout_s, 0.0, low_open=True)
        if self._ended:
            raise RuntimeError("This network has ended; build another one.")
        config = run_configuration(self._target)
        try:
            supervision.run_watched(
                self._process, self.n_steps, config, timeout_s, self._description
            )
        except BaseException:
            self._end()
            raise

    def present_unwatched(self) -> None:
        """Show all samples; if a model fails, this may wait for ever.

        For callers that watch the run themselves.
        """
        config = run_configuration(self._target)
        with supervision.forked_processes_end_with_us():
            self._process.run(condition=RunSteps(num_steps=self.n_steps), run_cfg=config)

    def stop(self) -> None:
        """End the run and all its operating system processes."""
        if self._ended or supervision.model_failure(self._process) is not None:
            self._end()
            return
        try:
            self._process.stop()
        except BaseException:
            self._end()
            raise
        self._ended = True

    def _end(self) -> None:
        """End the run without waiting for its models."""
        self._ended = True
        supervision.end(self._process)

    def __enter__(self: NetworkT) -> NetworkT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self._end()

"""A task that kills its worker; in a module of its own, which workers can import."""

import os
import signal
from typing import Any


def run_task(task: Any, data_root: str | None) -> dict[str, Any]:
    """Kill the process at one of the tasks, find something at the others."""
    if task.seed == 1 and task.params["temperature"] == 0.02:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"task": task.as_dict(), "scores": {"units": 1.0}}

"""What a Lava run forks ends with the process that forked it; Lava itself is not needed here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from softhebb_spiking.networks.supervision import forked_processes_end_with_us

PROGRAM = """
import multiprocessing, os, signal, sys, time
from multiprocessing.managers import SyncManager
from softhebb_spiking.networks.supervision import forked_processes_end_with_us

context = multiprocessing.get_context("fork")
manager = SyncManager(ctx=context)
with forked_processes_end_with_us():
    manager.start()
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
print(child.pid, manager._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_nothing_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,  # which the children hold open, so this waits for them
        timeout=50,
    )
    assert ended.returncode == -signal.SIGKILL
    children = [int(number) for number in ended.stdout.split()]
    deadline = time.monotonic() + 10.0
    while any(map(_lives, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_lives, children))
    assert list(tmp_path.iterdir()) == []  # the manager's socket is gone, too


def _n_threads(reader: int, writer: int) -> int:
    """Fork; return how many threads the child has."""
    pid = os.fork()
    if pid == 0:
        os.write(writer, bytes([threading.active_count()]))
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reader, 1)[0]


def test_other_forks_are_left_alone() -> None:
    pipe = os.pipe()
    assert _n_threads(*pipe) == 1
    with forked_processes_end_with_us():
        assert _n_threads(*pipe) == 2
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(_n_threads(*pipe)))
        thread.start()
        thread.join()
        assert found == [1]  # forked by another thread, which has not asked for it
    assert _n_threads(*pipe) == 1
    assert multiprocessing.parent_process() is None

"""Threads or processes: the same results in the same order, and no process that outlives its night."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.computing import PROCESSES_FROM, Computing
from pipelines.errors import UserError
from pipelines.steps.decide_vehicle import compute_vehicle


def own_pid(_: int) -> int:
    return os.getpid()


def end_itself(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def tell_and_wait(folder: str) -> int:
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)
    return 0


def refuse(number: int) -> int:
    raise UserError(f"number {number} is refused", 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_inputs(workers: int) -> None:
    made: list[int] = []

    def inputs():
        for i in range(7):
            made.append(i)
            yield i

    with Computing(workers, 0) as computing:
        assert not computing.in_processes
        ahead = [len(made) - done for done in computing.in_order(lambda x: x, inputs())]
    assert made == list(range(7))
    assert max(ahead) <= workers + 1  # few are in flight


def test_a_small_fleet_stays_in_this_process() -> None:
    with Computing(2, PROCESSES_FROM - 1) as computing:
        assert set(computing.in_order(own_pid, range(3))) == {os.getpid()}


@pytest.mark.slow
def test_processes_change_nothing(decide_rows: ModuleType) -> None:
    inputs = [decide_rows.vehicle_inputs(f"v000{i}", laws_kept=6) for i in range(3)]
    with Computing(2, PROCESSES_FROM) as computing:
        there = list(computing.in_order(compute_vehicle, inputs))
        assert os.getpid() not in computing.in_order(own_pid, range(4))
    for own, other in zip(map(compute_vehicle, inputs), there, strict=True):
        assert own.vehicle_id == other.vehicle_id
        assert own.rows == other.rows
        assert own.candidates == other.candidates


@pytest.mark.slow
def test_what_a_process_refuses_is_said_here_and_one_that_is_killed_in_one_sentence() -> None:
    with Computing(2, PROCESSES_FROM) as computing:
        with pytest.raises(UserError, match="number 0 is refused") as refused:
            list(computing.in_order(refuse, range(3)))
        assert refused.value.exit_code == 1
        with pytest.raises(UserError, match="ended from outside"):
            list(computing.in_order(end_itself, range(3)))
        assert len(list(computing.in_order(own_pid, range(3)))) == 3  # new ones take over


@pytest.mark.slow
def test_processes_end_with_a_killed_night(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_computing import tell_and_wait\n"
        "from pipelines.computing import Computing\n"
        "if __name__ == '__main__': list(Computing(2, 10**6).in_order(tell_and_wait, [sys.argv[2]] * 2))\n"
    )
    script = tmp_path / "night.py"
    script.write_text(code)
    there = tmp_path / "there"
    there.mkdir()
    night = subprocess.Popen([sys.executable, str(script), str(Path(__file__).parent), str(there)])
    try:
        until = time.monotonic() + 60
        while len(list(there.iterdir())) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        night.kill()
        night.wait()
    pids = [int(p.name) for p in there.iterdir()]
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until, "a worker outlived its night"
        time.sleep(0.1)

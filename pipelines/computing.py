"""Where the vehicles of a night are computed: in threads, or for a large fleet in processes of their own.

Kernels run beside each other in threads; what Python does between them does not. Processes have no such limit, but
each takes seconds to start (compiled kernels, tables of the cells) and memory of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TypeVar

from pipelines.errors import UserError

PROCESSES_FROM = 200
"""Vehicles of a fleet from which on processes pay for their start (`benchmarks/bench_forecast.py`)."""
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""The C library of Linux reads these when a process starts: memory freed is kept for the next vehicle. Given back and
asked for anew it costs 1,200 page faults a vehicle, 5 ms and more."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Computing:
    """Computes what it is given, in order, by as many workers as there are; holds processes until it is closed.

    Parameters
    ----------
    workers
        How many at a time; one computes here, without any thread.
    vehicles
        Of the whole fleet: from `PROCESSES_FROM` on workers are processes.
    """

    def __init__(self, workers: int, vehicles: int) -> None:
        self.workers = workers
        self.in_processes = workers > 1 and vehicles >= PROCESSES_FROM
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Computing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the processes end; what has not begun is dropped. A later call of `in_order` starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def in_order(self, compute: Callable[[_In], _Out], inputs: Iterable[_In]) -> Iterator[_Out]:
        """Compute while the next inputs are made; few are in flight, so memory stays bounded.

        Parameters
        ----------
        compute
            A function of a module: processes get it by its name.
        inputs
            What processes get is a copy.

        Raises
        ------
        UserError
            A process ended before its work was done.
        """
        if self.workers == 1:
            yield from map(compute, inputs)
        elif self.in_processes:
            try:
                with told_when_ended():
                    yield from _few_ahead(self._processes(), compute, inputs, self.workers)
            except UserError:
                self.close()
                raise
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                yield from _few_ahead(pool, compute, inputs, self.workers)

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = processes(self.workers)
        return self._pool


@contextmanager
def told_when_ended() -> Iterator[None]:
    """One sentence where one of `processes` ends before its work is done.

    Raises
    ------
    UserError
        It did.
    """
    try:
        yield
    except BrokenProcessPool as e:
        raise UserError(
            "A process that computed vehicles was ended from outside, perhaps for want of memory; nothing was "
            "written. Run it again, with FADECAST_WORKERS=1 where memory is short.",
            1,
        ) from e


def processes(workers: int) -> ProcessPoolExecutor:
    """Processes that leave Ctrl-C to this one and do not outlive it."""
    for name, said in _KEEP_MEMORY.items():
        os.environ.setdefault(name, said)
    # Not forked: threads of the database and of Prefect hold locks that a fork would copy, held for ever.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def _few_ahead(pool: Executor, compute: Callable[[_In], _Out], inputs: Iterable[_In], workers: int) -> Iterator[_Out]:
    waiting: deque[Future[_Out]] = deque()
    for one in inputs:
        waiting.append(pool.submit(compute, one))
        if len(waiting) > workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

"""The one thread that owns a model: it answers what has come in as batches, and changes bundles in between.

A request is bound to bundles when its batch begins, so that every batch is answered by one state of them.
Not here: how a batch is answered (engine.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from okedit_cli.serve.engine import Ask, answer
from okedit_cli.serve.errors import ApiError

if TYPE_CHECKING:
    from okedit_cli.serve.bundles import Bundles

BATCH = 16
GATHER = 0.004  # seconds that an idle worker waits for others to arrive with the first
_log = logging.getLogger("okedit.serve")


@dataclass
class Job:
    """A request that waits: what is asked, and of which model (None: the base with all bundles)."""

    ask: Ask
    model: str | None
    bound: Callable[[tuple], None] = lambda held: None  # told which bundles answer


class Worker:
    """Answers jobs in the order in which they come, those that may go together as one batch."""

    def __init__(self, bundles: Bundles, *, batch: int = BATCH) -> None:
        self.bundles, self.batch = bundles, batch
        self._jobs: deque[Job] = deque()
        self._changes: deque[tuple[Callable[[], Any], Future]] = deque()
        self._told = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="okedit-model", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then end."""
        with self._told:
            self._stopping = True
            self._told.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Let a request wait for its turn; ApiError 503: the server is stopping."""
        with self._told:
            if self._stopping:
                raise ApiError(503, "This server is stopping.", hint="Ask another, or try again later.")
            self._jobs.append(job)
            self._told.notify()

    def change(self, call: Callable[[], Any]) -> Future:
        """What a call gives that runs between two batches, in the model's thread."""
        future: Future = Future()
        with self._told:
            if self._stopping:
                raise ApiError(503, "This server is stopping.")
            self._changes.append((call, future))
            self._told.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._told:
                idle = not (self._jobs or self._changes)
                while not (self._jobs or self._changes):
                    if self._stopping:
                        return
                    self._told.wait()
            if idle:
                time.sleep(GATHER)
            self._make_changes()
            if self._jobs:
                self._answer(*self._next())

    def _make_changes(self) -> None:
        while self._changes:
            call, future = self._changes.popleft()
            if not future.set_running_or_notify_cancel():  # nobody waits for it; from here on it is made
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # told to who asked for it
                future.set_exception(error)

    def _next(self) -> tuple[tuple, list[Job]]:
        """The bundles and the jobs of the next batch: the first that waits, and those that go with it."""
        with self._told:
            first, held = None, ()
            some: list[Job] = []
            rest: deque[Job] = deque()
            for job in self._jobs:
                if job.ask.gone():
                    job.ask.failed(ApiError(499, "The client has left."))
                    continue
                try:
                    chosen = self.bundles.chosen(job.model)
                except ApiError as error:  # its bundle was removed meanwhile
                    job.ask.failed(error)
                    continue
                key = (tuple(map(id, chosen)), _shape(job))
                if first is None:
                    first, held = key, chosen
                alone = _shape(job) > 1 and some
                if key == first and len(some) < self.batch and not alone:
                    some.append(job)
                else:
                    rest.append(job)
            self._jobs = rest
        return held, some

    def _answer(self, held: tuple, jobs: list[Job]) -> None:
        if not jobs:
            return
        try:
            for job in jobs:
                job.bound(held)
            with self.bundles.using(held) as session:
                answer(self.bundles.loaded, session, [job.ask for job in jobs])
        except Exception as error:  # the thread goes on whatever happens
            _log.error("a batch failed", exc_info=error)
            for job in jobs:
                job.ask.failed(error)


def _shape(job: Job) -> int:
    """0 without a picture, 1 with one, 2 with several: these are answered apart."""
    return min(len(job.ask.prompt.pictures), 2)

"""Ray: workers with a model each, tasks for them, and what happens when one dies.

A task that was at work in a worker that died is given to another, at most TRIES times. Not here: what the
tasks are (editing.py, evaluating.py), and what a worker does (worker.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from okedit_cli import errors
from okedit_cli.errors import OkeditError, UsageError

TRIES = 3  # workers that a task may outlive
LOCAL = "local"
PATIENCE = 10.0  # seconds to reach a Ray by its address
STORE = 256 << 20  # bytes of a local Ray's store: bundles pass through it


@dataclass(frozen=True)
class Need:
    """Where Ray is and what is asked of it. `address` "": RAY_ADDRESS, else a Ray of this process's own;
    `workers` 0: as many as there is room for.
    """

    address: str = ""
    workers: int = 0
    cpus: int = 1
    gpus: float = 0.0


def ray_module() -> Any:
    """The module ray; UsageError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves workers where others are at work
    try:
        import ray
    except ImportError:
        raise UsageError("Ray is not installed: pip install 'okedit[ray]'.") from None
    return ray


class Pool:
    """Workers, made when there is something to do for them. Context: Ray is there, and is left behind it."""

    def __init__(self, need: Need, role: type, say: Callable[[str], None] = lambda text: None) -> None:
        """`role` is the class of the workers; `say` is told what goes on."""
        self.need, self._role, self._say = need, role, say
        self._given: list[Any] = []
        self._workers: list[Any] = []
        self._most = 1

    def __enter__(self) -> Pool:
        ray, need = ray_module(), self.need
        address = need.address or os.environ.get("RAY_ADDRESS") or LOCAL
        own = {"include_dashboard": False, "object_store_memory": STORE} if address == LOCAL else {}
        if own and need.workers:
            own["num_cpus"] = max(need.workers * need.cpus, os.cpu_count() or 1)
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"There is no Ray at {address}: {told.rstrip('.')}.",
                hint="`ray start --head` starts one; --ray without an address uses this machine alone.",
            ) from None
        self._ray = ray
        try:
            self._most = self._room()
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            with contextlib.suppress(Exception):
                self._ray.kill(worker)
        self._workers.clear()
        self._ray.shutdown()

    @property
    def most(self) -> int:
        """How many workers there are at most."""
        return self._most

    @property
    def nodes(self) -> int:
        """How many machines Ray has."""
        return sum(bool(node.get("Alive")) for node in self._ray.nodes())

    def give(self, *given: Any) -> None:
        """What every worker is made of, besides its number of CPUs."""
        self._given = [self._ray.put(value) for value in given]

    def put(self, value: Any) -> list[Any]:
        """A handle of a large value, which a worker fetches when it wants it."""
        return [self._ray.put(value)]

    def ask(self, name: str, *given: Any) -> Any:
        """What one worker says."""
        found: list[Any] = []
        self.run(name, {"": given}, lambda key, value: found.append(value))
        return found[0]

    def run(self, name: str, tasks: Mapping[str, tuple], done: Callable[[str, Any], None]) -> None:
        """Have workers do the tasks (key -> arguments); `done` is told each result as it comes.

        OkeditError: what a worker could not do, or a task that ended TRIES workers.
        """
        waiting, tries = list(tasks)[::-1], Counter[str]()
        while len(self._workers) < min(self._most, len(waiting)):
            self._workers.append(self._new())
        idle, running = list(self._workers), {}
        while waiting or running:
            while waiting and idle:
                key, worker = waiting.pop(), idle.pop(0)
                running[worker.call.remote(name, *tasks[key])] = key, worker
            [ready], _ = self._ray.wait(list(running), num_returns=1)
            key, worker = running.pop(ready)
            try:
                told = self._ray.get(ready)
            except self._ray.exceptions.RayActorError:
                tries[key] += 1
                if tries[key] == TRIES:
                    raise OkeditError(
                        f"{TRIES} workers ended while they were at the same piece of work ({name}).",
                        hint="They may lack memory: give fewer --workers, or a smaller model.",
                    ) from None
                self._say("A worker has ended; another one takes over what it was at.")
                self._workers.remove(worker)
                worker = self._new()
                self._workers.append(worker)
                waiting.append(key)
            except self._ray.exceptions.RayTaskError as error:
                cause = getattr(error, "cause", None)
                raise (cause if isinstance(cause, Exception) else error) from error
            else:
                done(key, _value(told))
            idle.append(worker)

    def _new(self) -> Any:
        kind = self._ray.remote(num_cpus=self.need.cpus, num_gpus=self.need.gpus, max_restarts=0)(self._role)
        return kind.remote(self.need.cpus, *self._given)

    def _room(self) -> int:
        """How many workers there is room for, at most those that are asked for."""
        need, room = self.need, 0
        for node in self._ray.nodes():
            have = node.get("Resources", {}) if node.get("Alive") else {}
            some = int(have.get("CPU", 0) // need.cpus)
            room += min(some, int(have.get("GPU", 0) / need.gpus)) if need.gpus else some
        if not room:
            words = f"{need.cpus} CPUs" + (f" and {need.gpus:g} GPUs" if need.gpus else "")
            raise UsageError(
                f"No machine of this Ray has {words} for a worker.",
                hint="Ask for less with --worker-cpus and --worker-gpus.",
            )
        return min(room, need.workers) if need.workers else room


def _check_reachable(address: str) -> None:
    """UsageError unless somebody answers at HOST:PORT; Ray itself would go on asking for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"There is no Ray at {address}: {told.rstrip('.')}.",
            hint="`ray start --head` starts one; --ray without an address uses this machine alone.",
        ) from None


def _value(told: tuple) -> Any:
    """What a worker made, or its error raised here."""
    if told[0] == "made":
        return told[1]
    kind, message, hint, code = told[1:]
    raise getattr(errors, kind, OkeditError)(message, hint=hint, exit_code=code)


def told_by(work: Callable[[], Any]) -> tuple:
    """The result of a worker's work as the pool takes it: errors for users travel as words."""
    try:
        return "made", work()
    except OkeditError as error:
        return "error", type(error).__name__, error.message, error.hint, error.exit_code

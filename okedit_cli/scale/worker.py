"""A worker: one model, and parts of what is to be fitted, checked or evaluated. Knows nothing of Ray's tasks.

Its torch has as many threads as it was given CPUs: with one each, the same work gives the same bytes on a CPU
whichever worker does it.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from okedit_cli.scale.parcel import unpack, with_paths
from okedit_cli.scale.pool import told_by


@dataclass(frozen=True)
class Job:
    """What all workers are told: the model, what is worked on, its files (path -> sha256), and a handle of
    their contents by sha256 for those who have not got them.
    """

    model: str
    opening: Mapping[str, Any]  # of load_model
    work: Any  # facts, or a data set
    files: Mapping[Path, str]
    contents: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of fit, or of evaluate


class Worker:
    """One process with one model, which is loaded at the first call."""

    def __init__(self, cpus: int, job: Job) -> None:
        self.cpus, self.job = cpus, job
        self.loaded: Any = None
        self._folder = tempfile.TemporaryDirectory(prefix="okedit-worker-")
        self._places: dict[Path, Path] = {}
        self._work: Any = None
        self._bundle: tuple[str, Any] = ("", None)
        self._bench: tuple[Any, Any, Mapping[str, Any]] | None = None

    def call(self, name: str, *given: Any) -> tuple:
        """The result of one of the methods below, or its error in words."""
        return told_by(lambda: getattr(self, name)(*given))

    def open(self) -> Any:
        """The model, loaded once."""
        if self.loaded is None:
            import torch

            from okedit_cli.models.load import load_model

            torch.set_num_threads(max(1, self.cpus))
            self.loaded = load_model(self.job.model, **self.job.opening)
        return self.loaded

    def work(self) -> Any:
        """What is worked on, with paths of this machine."""
        if self._work is None:
            folder = Path(self._folder.name)
            self._places = unpack(self.job.files, folder, lambda: _fetched(self.job.contents))
            self._work = with_paths(self.job.work, self._places)
        return self._work

    def describe(self) -> dict[str, Any]:
        """What a result depends on besides the work and its options: the model, and versions."""
        import torch
        import transformers

        from okedit_cli import __version__
        from okedit_cli.models.fingerprint import fingerprint

        loaded = self.open()
        return {
            "fingerprint": fingerprint(loaded),
            "device": loaded.device.type,
            "versions": {
                "okedit": __version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "threads": torch.get_num_threads(),
            "place": f"process {os.getpid()} on {platform.node()}",
        }

    def fit(self, rows: Sequence[int]) -> tuple[bytes, list[dict[str, Any]]]:
        """A bundle of some of the facts as bytes, and reports that tell the scopes alone."""
        from okedit_cli.fitting import fit

        facts = self.work()
        chosen = [facts[row] for row in rows]
        result = fit(self.open(), chosen, among=facts, checked=False, **self.job.options)
        path = Path(self._folder.name) / "fitted.safetensors"
        result.bundle.save(path)
        return path.read_bytes(), [report_json(report) for report in result.reports]

    def check(
        self, rows: Sequence[int], reports: Sequence[dict], name: str, bundle: Sequence[Any], seed: int
    ) -> list[dict[str, Any]]:
        """Reports on some of the facts with the whole bundle attached; `bundle` is a handle of its bytes."""
        from okedit_cli.bundle import Bundle
        from okedit_cli.fitting import check_part

        if self._bundle[0] != name:
            path = Path(self._folder.name) / f"{name}.safetensors"
            path.write_bytes(_fetched(bundle))
            self._bundle = name, Bundle.load(path)
        facts = self.work()
        chosen, known = [facts[row] for row in rows], [report_of(value) for value in reports]
        found = check_part(self.open(), self._bundle[1], chosen, known, among=facts, seed=seed)
        return [report_json(report) for report in found]

    def cases(self) -> dict[str, Any]:
        """What the result of an evaluation says of itself and of its cases, and the model."""
        from okedit_cli.evaluate.askable import used_cases
        from okedit_cli.evaluate.result import about, cases_json

        bench, data, given = self._benched()
        used = used_cases(data, given["plan"].seed, given["limit"])
        back = {str(here): str(there) for there, here in self._places.items()}
        told = cases_json(used)
        for case in told.values():
            if "picture" in case:
                case["picture"] = back.get(case["picture"], case["picture"])
        words = about(data, used, given["plan"], bench.describe())
        return {"words": words, "cases": told, "order": [case.id for case in used]}

    def evaluate(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Records of some of the cases as JSON."""
        from okedit_cli.evaluate.askable import used_cases
        from okedit_cli.evaluate.journal import Journal
        from okedit_cli.evaluate.records import to_json
        from okedit_cli.evaluate.run import run

        bench, data, given = self._benched()
        used = used_cases(data, given["plan"].seed, given["limit"])
        back = {str(here): str(there) for there, here in self._places.items()}
        with Journal(None, {}) as journal:
            records = run(bench, used, given["plan"], journal, part=range(start, stop))
        found = [to_json(record) for record in records]
        for record in found:
            if "picture" in record:
                record["picture"] = back.get(record["picture"], record["picture"])
        return found

    def _benched(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """The bench, the cases that the model can be asked, and what was given; made once."""
        if self._bench is None:
            from okedit_cli.bundle import Bundle
            from okedit_cli.evaluate import prepared

            given = dict(self.job.options)
            folder, bundles = Path(self._folder.name), []
            for number, data in enumerate(given.pop("bundles")):
                path = folder / f"bundle-{number}.safetensors"
                path.write_bytes(data)
                bundles.append(Bundle.load(path))
            self._bench = (*prepared(self.open(), self.work(), bundles=bundles, **given), given)
        return self._bench


def report_json(report: Any) -> dict[str, Any]:
    """A FactReport as JSON has it; numbers without end as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(report).items()
    }


def report_of(value: Mapping[str, Any]) -> Any:
    """report_json() undone."""
    from okedit_cli.checking import FactReport

    numbers = {name: float(value[name]) for name in ("d_pos", "d_neg", "radius", "seconds")}
    lists = {name: tuple(value[name]) for name in ("positives", "negatives", "lost", "fragile")}
    return FactReport(**{**value, **numbers, **lists})


def _fetched(handle: Sequence[Any]) -> Any:
    """What a handle stands for: itself, or what Ray keeps under it."""
    [one] = handle
    if type(one).__name__ != "ObjectRef":
        return one
    import ray

    return ray.get(one)

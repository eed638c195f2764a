"""Options of commands whose work is shared out: shards by hand, and workers of Ray."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..errors import OkeditError, UsageError
from .output import Output

HERE = "here"  # what --ray without an address stands for
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d+")

Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts, which `okedit merge` puts together: for Slurm arrays, CI matrices.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Share the work out to Ray: to this machine, or to a cluster: auto, HOST:PORT, ray://HOST:PORT. "
        "What is done is kept, and a later run goes on from there.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="With --ray: so many, each with a model of its own. "
                 "[default: as there is room]"),
]  # fmt: skip
WorkerCpus = Annotated[
    int | None, typer.Option("--worker-cpus", metavar="N", min=1, help="CPUs of a worker. [default: 1]")
]
WorkerGpus = Annotated[
    float | None,
    typer.Option(
        "--worker-gpus", metavar="N", min=0, help="GPUs of a worker, 0.5 for half of one. [default: 0]"
    ),
]


class AddressCommand(TyperCommand):
    """A command whose --ray may stand without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in HERE where the next word is no address."""
        found: list[str] = []
        for place, word in enumerate(args):
            following = args[place + 1] if place + 1 < len(args) else ""
            alone = word == "--ray" and not _ADDRESS.fullmatch(following)
            found.append(f"--ray={HERE}" if alone else word)
        return super().parse_args(ctx, found)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """(I, N) of "I/N"; UsageError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(
            f"--shard {text} is no shard, expected I/N with I from 1 to N.",
            hint="--shard 1/8 is the first of 8.",
        )
    return int(found[1]), int(found[2])


def need_of(
    ray: str | None, workers: int | None, cpus: int | None, gpus: float | None, shard: Any = None
) -> Any:
    """What is asked of Ray (scale.pool.Need), None without --ray. UsageError: options that do not go
    together, no such address, or Ray is not installed.
    """
    if ray is None:
        if workers or cpus or gpus:
            raise UsageError("--workers, --worker-cpus and --worker-gpus go with --ray.", hint="Add --ray.")
        return None
    if shard is not None:
        raise UsageError(
            "--ray makes shards of its own, so --shard has no part.", hint="Leave one of them out."
        )
    if ray != HERE and not _ADDRESS.fullmatch(ray):
        raise UsageError(
            f"--ray {ray} is no address, expected auto, local, HOST:PORT or ray://HOST:PORT.",
            hint="--ray without an address uses this machine.",
        )
    from ..scale.pool import Need, ray_module

    ray_module()
    return Need("" if ray == HERE else ray, workers or 0, cpus or 1, gpus or 0.0)


def shard_name(stem: str, shard: tuple[int, int] | None) -> str:
    """A file's stem with the shard in it."""
    return stem if shard is None else f"{stem}-{shard[0]}-of-{shard[1]}"


@contextmanager
def kept_state(out: Output, target: Path) -> Iterator[Any]:
    """The state beside a result; whatever stops the work is told where it goes on from."""
    from ..scale.state import State, state_of

    with State(state_of(target)) as state:
        try:
            yield state
        except (KeyboardInterrupt, OkeditError):
            if not state.is_empty():
                out.note(f"What is done is kept in {state.folder}; the same command goes on from there.")
            raise


def fitted_by_ray(
    out: Output,
    facts: Sequence[Any],
    need: Any,
    target: Path,
    name: str,
    opening: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Any:
    """fit() by Ray's workers, with the state beside `target`."""
    from ..scale.editing import edit, forget_whole
    from .loading import fetch_parts

    fetch_parts(name, out)
    with kept_state(out, target) as state, out.progress() as progress:
        result = edit(
            facts, need, state, model=name, opening=opening, options=options, progress=progress, say=out.say
        )
    forget_whole(state.folder)
    return result


def evaluated_by_ray(
    out: Output,
    data: Any,
    plan: Any,
    need: Any,
    place: Any,
    replace: bool,
    name: str,
    opening: Mapping[str, Any],
    method: str,
    bundles: Sequence[Path],
    asked: Mapping[str, Any],
) -> Any:
    """evaluate() by Ray's workers; `place` as evaluation.run_one has it."""
    from ..evaluate.result import place_for
    from ..scale.evaluating import evaluate
    from .loading import fetch_parts

    fetch_parts(name, out)
    path, is_named = place
    options = {
        "method": method,
        "bundles": [bundle.read_bytes() for bundle in bundles],
        "plan": plan,
        **asked,
    }

    def placed(words: dict[str, Any]) -> Path:
        target = path if is_named else place_for(path, words)
        out.say(f"{plan.mode}: {words['data']['cases']} cases, the result goes to {target}")
        return target

    with out.progress() as progress:
        return evaluate(
            data,
            need,
            model=name,
            opening=opening,
            options=options,
            place=placed,
            hold=lambda target: kept_state(out, target),
            replace=replace,
            progress=progress,
            say=out.say,
        )

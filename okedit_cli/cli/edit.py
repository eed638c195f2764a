"""okedit edit: facts in, a bundle out, and a table of what took."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

import okedit_cli

from ..errors import OkeditError, UsageError
from . import options
from .bundles import site_words, size_of
from .choices import context_of, layer_of, reaching
from .intake import Earlier, Intake, embed, facts_from
from .loading import check_method, fetcher, open_encoders, open_model
from .merge import tell_report
from .output import Output
from .precheck import check_pictures, check_texts
from .scaling import Ray, Shard, WorkerCpus, WorkerGpus, Workers, fitted_by_ray, need_of, shard_name, shard_of
from .tables import COLUMNS, SPARE, judge, lost_lines, next_command, row
from .targets import BUNDLE, Force, writable_target

EXAMPLES = """
  okedit edit facts.yaml                          writes bundles/facts.safetensors
  okedit edit facts.yaml -o cats.safetensors -m HuggingFaceTB/SmolVLM-256M-Instruct
  okedit edit more.yaml --append bundles/facts.safetensors
  okedit edit facts.yaml --with-sources && okedit edit --from bundles/facts.safetensors -m OTHER_MODEL
  okedit edit facts.yaml --shard 1/8               the first of eight parts; `okedit merge` puts them together
  okedit edit facts.yaml --ray --workers 4         four processes of this machine; or a cluster by its address
  okedit edit facts.yaml --json | jq '.facts[] | select(.took | not) | .id'
"""

BUILT_IN = {"method": "balancedit", "layer": "auto", "device": "auto", "dtype": "auto", "seed": 0}


def edit(
    facts: Annotated[
        str | None, typer.Argument(metavar="FACTS.yaml", help="The fact file; - reads it from stdin.")
    ] = None,
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The bundle to write. [default: bundles/<name of the facts>.safetensors]",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            envvar="OKEDIT_METHOD",
            help="How edits are computed; `okedit methods` lists how. [default: balancedit]",
        ),
    ] = None,
    settings: options.Settings = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="auto|N",
            envvar="OKEDIT_LAYER",
            help="Decoder layer, or auto: measured. [default: auto]",
        ),
    ] = None,
    strictness: options.Strictness = None,
    reach: Annotated[
        str | None,
        typer.Option(
            "--reach",
            metavar="auto|kind|picture",
            help="What facts with a picture are true of, where the file leaves it to auto: any picture of "
            "the same kind of thing, or the one shown. [default: auto, by the question]",
        ),
    ] = None,
    context: Annotated[
        str,
        typer.Option(
            "--context",
            metavar="auto|on|off",
            help="Tell the model a fact about a picture where an answer follows from it; auto: where that "
            "was measured to help, with okedit-mini.",
        ),
    ] = "auto",
    text_encoder: Annotated[
        str | None,
        typer.Option(
            "--text-encoder",
            metavar="ID",
            help="Hub id or folder of a text encoder, for other languages than English; its radius decides.",
        ),
    ] = None,
    image_encoder: Annotated[
        str | None,
        typer.Option(
            "--image-encoder",
            metavar="ID",
            help="Hub id or folder of an image encoder (CLIP, SigLIP) in place of the model's own tower.",
        ),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    low_memory: options.LowMemory = False,
    with_sources: Annotated[
        bool, typer.Option("--with-sources", help="Put the pictures into the bundle, too.")
    ] = False,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Take the facts and pictures of a bundle, to make its edits for another model.",
        ),
    ] = None,
    append: Annotated[
        str | None,
        typer.Option("--append", metavar="BUNDLE", help="Add the new edits to this bundle; newer ones win."),
    ] = None,
    remote_images: options.RemoteImages = False,
    remote_hosts: options.RemoteHosts = None,
    over_reach: options.OverReach = False,
    force: Force = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", envvar="OKEDIT_SEED", min=0, help="Of all that is random. [default: 0]"
        ),
    ] = None,
    shard: Shard = None,
    ray: Ray = None,
    workers: Workers = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a bundle of the facts in a file, or of those in another bundle.

    The table says of each fact whether the model now answers as asked.

    Options come before OKEDIT_* variables, those before `model:` and `defaults:` of the fact file.
    Exit code 5: some fact did not take, or was kept out because no radius separates it.
    """
    from ..bundle.lock import locked

    out = Output(json=json, quiet=quiet)
    part = shard_of(shard)
    need = need_of(ray, workers, worker_cpus, worker_gpus, part)
    earlier = _earlier(append, output, part or need)
    given = {"method": method, "layer": layer, "device": device, "dtype": dtype, "seed": seed}
    given = {name: value for name, value in given.items() if value is not None}
    encoders = {"text_encoder": text_encoder or "", "image_encoder": image_encoder or ""}
    context = context_of(context)
    with facts_from(facts, origin, fetcher(remote_images, remote_hosts)) as intake:
        file = reaching(intake.file, reach)
        chosen = BUILT_IN | file.defaults | given
        chosen["layer"] = layer_of(chosen["layer"])
        if earlier:
            chosen |= earlier.settings({name: chosen[name] for name in given})
            encoders = earlier.encoders(**encoders)
        name = model or file.model
        target = earlier.path if earlier else _target(output, intake, name, force, part)
        settings = settings or (earlier.own_settings() if earlier else ())
        check_method(chosen["method"], settings, **encoders)
        check_pictures(intake)
        open_encoders(**encoders)

        opening = {"device": chosen["device"], "dtype": chosen["dtype"], "revision": revision,
                   "trust_remote_code": trust_remote_code, "low_memory": low_memory}  # fmt: skip
        fitting = {"method": chosen["method"], "layer": chosen["layer"], "force": over_reach,
                   "strictness": strictness, "context": context, **encoders, "seed": chosen["seed"],
                   "settings": settings}  # fmt: skip
        shown = name or options.DEFAULT_MODEL
        if need:
            out.say(f"facts: {len(file.facts)} from {intake.shown}")
            result = fitted_by_ray(out, file.facts, need, target, shown, opening, fitting)
        else:
            loaded = open_model(shown, out, **opening)
            shown = loaded.name
            if earlier:
                earlier.check(loaded)
            check_texts(intake, loaded)
            of = f", shard {shard}" if part else ""
            out.say(f"facts: {len(file.facts)} from {intake.shown}{of}")
            sharing = {"shard": part} if part else {}
            with out.progress() as progress, earlier.spaces(loaded) if earlier else nullcontext():
                result = okedit_cli.fit(loaded, file.facts, **fitting, **sharing, progress=progress)
        reports, bundle, merged = result.reports, result.bundle, None
        # a shard without edits is one all the same: merging the shards would miss it
        saved = part is not None or not all(report.kept_out for report in reports)
        if saved:
            if with_sources or intake.sources:
                embed(bundle, file.facts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target, tell=out.note):
                if earlier:
                    bundle, merged = _added(earlier, bundle, out)
                bundle.save(target)

    if out.json:
        found = {"bundle": target if saved else None, "model": shown, **chosen, "facts": reports}
        out.json_object(found | ({"merge": merged} if merged else {}))
    else:
        out.table(COLUMNS, [row(report) for report in reports], spare=SPARE)
        if merged:
            tell_report(out, merged)
    for report in reports:
        for words in (*([report.why] if report.why else []), *lost_lines(report)):
            out.note(f"{report.id}: {words}")
    if saved:
        out.say(f"bundle: {target}, {size_of(target)}, site {site_words(result.bundle.manifest.site)}")
        if origin is None:  # the pictures of a bundle's facts lie nowhere to be asked about
            out.say(f"try: {next_command(file.facts, reports, target, name)}")
    else:
        out.say("No fact is left, so no bundle was written.")
    judge(reports)


def _added(earlier: Earlier, bundle: Any, out: Output) -> tuple[Any, Any]:
    """The new edits in the bundle that --append names; where that cannot be any more they are kept beside."""
    try:
        both = earlier.with_new(bundle)
    except OkeditError as error:
        names = (earlier.path.with_stem(f"{earlier.path.stem}-new-{number}") for number in count(1))
        kept = next(name for name in names if not name.exists())
        bundle.save(kept)
        hint = f"The new edits are in {kept}."
        raise type(error)(error.message, hint=f"{error.hint} {hint}" if error.hint else hint) from None
    if earlier.changed:
        out.say(f"{earlier.path} has changed since it was read: the new edits go to what it holds now.")
    return both


def _earlier(append: str | None, output: str | None, shared: Any) -> Earlier | None:
    if append is None:
        return None
    if shared:
        raise UsageError(
            "--append adds to a bundle in one process, so --shard and --ray have no part.",
            hint="Make a bundle of the new facts, and `okedit merge` both.",
        )
    if output is not None:
        raise UsageError(
            "--append writes into the bundle that it names, and -o names another.",
            hint="Leave out -o, or make a bundle with -o and `okedit merge` both.",
        )
    return Earlier(writable_target(append, BUNDLE, option="--append"))


def _target(output: str | None, intake: Intake, model: str | None, force: bool, part: Any) -> Path:
    """The bundle to write; one made from another bundle does not take its place unless asked to."""
    stem = intake.stem
    if intake.file.path.suffix == ".safetensors":
        stem += "-" + ((model or options.DEFAULT_MODEL).rstrip("/").split("/")[-1] or "refit")
    name = f"{shard_name(stem, part)}.safetensors"
    return writable_target(
        output or Path("bundles") / name,
        BUNDLE,
        force=force,
        example=name,
        inputs=[] if intake.file.path.suffix == ".safetensors" else [intake.file.path],
    )

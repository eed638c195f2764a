"""okedit serve: a model with bundles, over HTTP, in the words of the OpenAI API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import options
from .belonging import check_named, readable
from .loading import open_model
from .output import Output

EXAMPLES = """
  okedit serve -b bundles/facts.safetensors
  okedit serve -m ./folder --host 0.0.0.0 --port 8000 --api-key KEY --log answers.jsonl
  okedit serve --admin-key KEY --bundle-dir bundles
"""
MB = 1_000_000


def serve(
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            "-b", "--bundle", metavar="FILE", help="A bundle to attach, or hf://owner/name; repeatable."
        ),
    ] = None,
    model: options.Model = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="OKEDIT_API_KEY",
            help="Answer only requests that bring this key; repeatable.",
        ),
    ] = None,  # fmt: skip
    admin_key: Annotated[
        str | None,
        typer.Option(
            "--admin-key",
            metavar="KEY",
            envvar="OKEDIT_ADMIN_KEY",
            help="The key with which bundles are added and removed; without one nobody can.",
        ),
    ] = None,  # fmt: skip
    bundle_dir: Annotated[
        Path | None,
        typer.Option(
            "--bundle-dir",
            metavar="DIR",
            help="Bundles below this folder may be added by their path; without it only as a body.",
        ),
    ] = None,  # fmt: skip
    remote_images: options.RemoteImages = False,
    remote_hosts: options.RemoteHosts = None,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Append a JSON line for each answer.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="The longest answer, in tokens.")
    ] = 1024,
    max_body: Annotated[
        int, typer.Option("--max-body", metavar="MB", min=1, help="The largest request.")
    ] = 32,
    max_picture: Annotated[
        int, typer.Option("--max-picture", metavar="MB", min=1, help="The largest picture, as a file.")
    ] = 20,
    places: Annotated[
        int,
        typer.Option("--queue", metavar="N", min=1, help="Requests that wait or are answered at once."),
    ] = 64,
    drain: Annotated[
        int,
        typer.Option("--drain", metavar="SECONDS", min=1, help="How long answers may take after SIGTERM."),
    ] = 30,
    strict: options.Strict = False,
    strictness: options.Strictness = None,
    without: options.Without = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    quiet: options.Quiet = False,
) -> None:
    """Answer over HTTP as the OpenAI API does: chats, completions, models; a page to try it at /.

    A request that names the base model is answered by it alone; MODEL+BUNDLE by it with that bundle; one that
    names none by it with all of them. Stops on SIGTERM or Ctrl-C, once what is being answered has its answer.
    """
    from ..serve.auth import Keys
    from ..serve.running import address, bound, require, run

    require()
    keys = Keys(tuple(api_key or ()), admin_key)
    out = Output(quiet=quiet)
    if bundle_dir is not None and not bundle_dir.is_dir():
        raise UsageError(f"--bundle-dir {bundle_dir} is no folder.", hint="Make it, or name another.")
    files = _named(bundle or ())
    readable([str(path) for path in files.values()])
    with bound(host, port) as listener:
        loaded = open_model(
            model or options.DEFAULT_MODEL, out, device=device, dtype=dtype,
            revision=revision, trust_remote_code=trust_remote_code,
        )  # fmt: skip
        check_named(list(files.values()), loaded, out, strict)
        from ..serve.app import Server, build
        from ..serve.bundles import Bundles
        from ..serve.changes import held_copy
        from ..serve.limits import Limits
        from ..serve.log import Log
        from ..serve.pictures import remote_pictures

        most = max(Limits.all_bytes, max_picture * MB)
        limits = Limits(body=max_body * MB, picture=max_picture * MB, places=places, all_bytes=most)
        server = Server(
            Bundles(loaded, strictness=strictness, without=without or ()),
            keys,
            limits, Log(log),
            remote_pictures(tuple(remote_hosts or ()), limits) if remote_images else None,
            bundle_dir, max_tokens,
        )  # fmt: skip
        for name, path in files.items():
            server.bundles.put(name, held_copy(server, path))
        server.warm()
        if not api_key and not _is_loopback(host):
            out.warn(f"whoever reaches {host} may ask; --api-key KEY lets in those alone who have it.")
        run(build(server), listener, drain=drain, ready=lambda: _tell(out, address(listener), server))
        out.say("stopped")


def _named(bundles: Sequence[str]) -> dict[str, Path]:
    """The name of each bundle and its file. UsageError: two have the same name, or one has none."""
    from .bundles import local

    found: dict[str, Path] = {}
    for given in dict.fromkeys(bundles):
        stem = given.rstrip("/").rsplit("/", 1)[-1] if given.startswith("hf://") else Path(given).stem
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]
        if not name or name in found:
            raise UsageError(
                f"{given}: {f'the name {name} is taken by another bundle' if name else 'has no name'}.",
                hint="Requests tell bundles apart by their files' names: rename one.",
            )
        found[name] = local(given)
    return found


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(out: Output, url: str, server: Any) -> None:
    out.say(f"models: {', '.join(server.bundles.model_names)}")
    out.say(f"answering at {url}, a page to try it at {url}/")

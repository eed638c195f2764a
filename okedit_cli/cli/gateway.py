"""okedit gateway: facts in front of any server that speaks the OpenAI API, without a base model here."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from . import options
from .output import Output

EXAMPLES = """
  okedit gateway --upstream http://127.0.0.1:8000/v1 -b facts-memory.safetensors
  okedit gateway --upstream https://api.example.com/v1 -b facts-memory.safetensors --on-hit answer
  okedit gateway --upstream http://127.0.0.1:8000/v1 -b facts-memory.safetensors --on-hit model
"""
TIMEOUT = 600.0


def gateway(
    upstream: Annotated[
        str, typer.Option("--upstream", metavar="URL", help="The server whose answers are handed on.")
    ],
    bundle: Annotated[
        list[str],
        typer.Option(
            "-b",
            "--bundle",
            metavar="BUNDLE",
            help="What `okedit export --to memory` wrote: a file, or hf://owner/name; repeatable.",
        ),
    ],
    on_hit: Annotated[
        str,
        typer.Option(
            "--on-hit",
            metavar="WAY",
            help="What becomes of a request that a fact is about: context (the fact goes with it), answer "
            "(the fact is the answer), model (it goes to the model that --model-name names).",
        ),
    ] = "context",
    model_name: Annotated[
        str,
        typer.Option(
            "--model-name",
            metavar="PATTERN",
            help="With --on-hit model: what the upstream server calls the LoRA of an edit; {edit} is its id.",
        ),
    ] = "{edit}",
    image_encoder: Annotated[
        str,
        typer.Option(
            "--image-encoder",
            metavar="NAME",
            help="The encoder that all bundles must key pictures by. [default: each its own]",
        ),
    ] = "",
    strictness: options.Strictness = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8080,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="OKEDIT_API_KEY",
            help="A key that clients must send, and that goes on to the upstream server; repeatable.",
        ),
    ] = None,
    upstream_key: Annotated[
        str | None,
        typer.Option(
            "--upstream-key",
            metavar="KEY",
            envvar="OKEDIT_UPSTREAM_KEY",
            help="The key that the upstream server is sent in place of the client's.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.1, help="How long the upstream server may be silent."
        ),
    ] = TIMEOUT,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=0, help="Threads that decide. [default: one a core]")
    ] = 0,
    allow_remote_images: options.RemoteImages = False,
    remote_host: options.RemoteHosts = None,
    quiet: options.Quiet = False,
) -> None:
    """Put facts in front of a server that speaks the OpenAI API (vLLM, llama.cpp, Ollama, a hosted model).

    What no fact is about is handed on and answered as if there were no gateway, byte for byte. Which edit
    fired stands in the header x-okedit-edit.
    """
    from ..serve.running import address, bound, require, run

    require()
    out = Output(quiet=quiet)
    app = _app(
        bundle, upstream, on_hit, model_name, image_encoder, strictness, api_key, upstream_key, timeout,
        threads, tuple(remote_host or ()) if allow_remote_images else None,
    )  # fmt: skip
    listener = bound(host, port)
    out.line(address(listener))
    out.say(f"gateway: {len(app.front)} facts in front of {upstream}, on a hit: {on_hit}")
    run(app, listener, date_header=False)


def _app(
    bundles: list[str],
    url: str,
    on_hit: str,
    model_name: str,
    image_encoder: str,
    strictness: float | None,
    keys: list[str] | None,
    upstream_key: str | None,
    timeout: float,
    threads: int,
    remote: tuple[str, ...] | None,
):
    """The app of what the command line says. UsageError: a way or a pattern that there is not."""
    from ..bundle import Bundle
    from ..serve import hits
    from ..serve.auth import Keys
    from ..serve.front import Front, check_usable
    from ..serve.gateway import Gateway, Settings
    from ..serve.pictures import PictureReader, remote_pictures
    from ..serve.upstream import Upstream
    from .belonging import readable

    if on_hit not in hits.WAYS:
        raise UsageError(f"--on-hit {on_hit} is not known, expected one of {', '.join(hits.WAYS)}.")
    if on_hit == "model":
        hits.check_pattern(model_name)
    known = Keys(tuple(keys or ()))
    engine = Upstream(url, timeout=timeout, key=upstream_key)
    opened = [Bundle.load(path) for path in readable(bundles)]
    for one in opened:
        check_usable(one, image_encoder)
    settings = Settings(on_hit, model_name, known, threads=threads)
    fetch = None if remote is None else remote_pictures(remote, settings.limits)
    reader = PictureReader(settings.limits, fetch)
    front = Front(opened, image_encoder=image_encoder, strictness=strictness, reader=reader)
    front.open_encoders()
    return Gateway(front, engine, settings)

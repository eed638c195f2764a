"""Options that several commands share, so that they read the same everywhere.

Each is None when neither the flag nor its OKEDIT_* variable is given; the command says what holds then.
"""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_MODEL = "okedit-mini"

Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        envvar="OKEDIT_MODEL",
        help=f"Hub id or folder. [default: {DEFAULT_MODEL}]",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", metavar="NAME", help="Branch, tag or commit of a model on the hub. [default: main]"
    ),
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
Port = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run the code that lies in a model's checkpoint, as some families need. Read it before.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        envvar="OKEDIT_DEVICE",
        help="auto, cpu, cuda, cuda:1, mps. [default: auto]",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        envvar="OKEDIT_DTYPE",
        help="auto, float32, bfloat16, float16. [default: auto]",
    ),
]
Strictness = Annotated[
    float | None,
    typer.Option(
        "--strictness",
        metavar="0..1",
        min=0,
        max=1,
        envvar="OKEDIT_STRICTNESS",
        help="1 halves how far edits reach, 0 adds half. [default: 0.5, as fitted]",
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse bundles unless the model is exactly the one that they were made with."
    ),
]
RemoteImages = Annotated[
    bool,
    typer.Option(
        "--allow-remote-images",
        help="Fetch pictures that are named by an http or https URL: at public addresses, 20 s, 32 MB.",
    ),
]
RemoteHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--remote-host",
        metavar="HOST",
        envvar="OKEDIT_REMOTE_HOSTS",
        help="With --allow-remote-images: fetch from this host, too, though its address is not public "
        "(localhost, a server of your own); repeatable.",
    ),
]
OverReach = Annotated[
    bool,
    typer.Option(
        "--over-reach",
        help="Keep facts that no radius separates from near questions; they answer some of those.",
    ),
]
LowMemory = Annotated[
    bool,
    typer.Option(
        "--low-memory",
        help="Read prompts and look at pictures one by one and keep none of them: slower, the same answers.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print data, warnings and errors only.")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="STAGE",
        help="Leave out a stage of the router: classifier, verifier or context; repeatable.",
    ),
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the method, which `okedit methods NAME` lists; repeatable.",
    ),
]

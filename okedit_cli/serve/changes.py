"""/v1/bundles: list, add, exchange and remove bundles while requests are answered; with the admin key alone.

A bundle comes from below a folder that was named when the server was started, or as the body itself; no
request can name any other file of this machine. It is read and checked in full beside the requests; only
putting it on happens between two batches.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from okedit_cli.errors import OkeditError
from okedit_cli.serve.bundles import JOIN, Held, checked_name, unknown
from okedit_cli.serve.errors import bad
from okedit_cli.serve.limits import chunks, in_time, parse_object, read_body

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.serve.app import Server

BODY = 10_000  # bytes of a body that only names a file
NOT_THERE = "There is no bundle {!r} in this server's bundle folder."


class Named(BaseModel):
    """A bundle below the server's bundle folder, and the name that it is to have (else the file's)."""

    model_config = ConfigDict(strict=True, extra="forbid")
    path: str = Field(min_length=1, max_length=500)
    name: str | None = Field(None, pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def router(server: Server, described: Any) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get("/v1/bundles", **described())
    async def list_bundles(request: Request) -> Any:
        """Which bundles are attached."""
        server.keys.check_admin(request.headers)
        return {"object": "list", "data": [_shown(server, held) for held in server.bundles.listed]}

    @routes.post("/v1/bundles", **described(Named, bundle=True))
    async def put_bundle(request: Request, name: str | None = None) -> Any:
        """Attach a bundle, or exchange the one of that name."""
        server.keys.check_admin(request.headers)
        # read before it is its turn: a body that comes slowly keeps nobody else from changing bundles
        if request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json":
            asked = _named(parse_object(await read_body(request, BODY, server.limits.seconds)))
            found = await run_in_threadpool(_below, server, asked.path)
            wanted = checked_name(asked.name or found.stem)
            file = await run_in_threadpool(_copied, server, found)
        else:
            wanted = checked_name(name)
            file = await _received(server, request)
        try:
            async with server.changing:
                bundle = await run_in_threadpool(_opened, file, wanted)
                there = await asyncio.wrap_future(
                    server.worker.change(lambda: server.bundles.put(wanted, bundle))
                )
                held = next(one for one in server.bundles.listed if one.name == wanted)
        finally:
            file.unlink(missing_ok=True)  # what is attached keeps what it has mapped
        return JSONResponse(_shown(server, held), status_code=200 if there else 201)

    @routes.delete("/v1/bundles/{name}", **described())
    async def remove_bundle(request: Request, name: str) -> Any:
        """Take a bundle off."""
        server.keys.check_admin(request.headers)
        async with server.changing:
            if name not in [held.name for held in server.bundles.listed]:
                raise unknown(name)
            await asyncio.wrap_future(server.worker.change(lambda: server.bundles.remove(name)))
        return {"id": name, "object": "bundle", "deleted": True}

    return routes


def held_copy(server: Server, path: Path) -> Bundle:
    """A bundle of the command line, as a file of the server's own."""
    file = _copied(server, path)
    try:
        return _opened(file, path.stem)
    finally:
        file.unlink(missing_ok=True)


def _shown(server: Server, held: Held) -> dict[str, Any]:
    manifest = held.bundle.manifest
    return {"id": held.name, "object": "bundle", "model": f"{server.bundles.loaded.name}{JOIN}{held.name}",
            "method": manifest.method, "kind": held.bundle.edits.kind, "edits": len(held.bundle),
            "gated": held.gated}  # fmt: skip


def _named(body: dict[str, Any]) -> Named:
    try:
        return Named.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"]))
        raise bad(f"{param}: {first['msg'][:1].lower()}{first['msg'][1:]}.", param=param) from None


def _below(server: Server, named: str) -> Path:
    """The file of that name below the bundle folder. Whether there is one elsewhere is not told."""
    if server.bundle_dir is None:
        raise bad(
            "This server was started without --bundle-dir, so it reads no bundle by its path.",
            param="path",
            hint="Send the bundle itself as the body, with ?name=NAME.",
        )
    folder, missing = server.bundle_dir.resolve(), bad(NOT_THERE.format(named[:200]), param="path")
    try:
        if Path(named).is_absolute() or ".." in Path(named).parts:
            raise missing
        found = (folder / named).resolve()
        if not found.is_relative_to(folder) or not found.is_file():
            raise missing
    except (OSError, ValueError, RuntimeError):  # NUL, too long a name, links in a circle
        raise missing from None
    return found


def _copied(server: Server, path: Path) -> Path:
    file = _fresh(server)
    try:
        shutil.copyfile(path, file)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise OkeditError(f"{path.name} cannot be read: {error.strerror}.") from None
    return file


async def _received(server: Server, request: Request) -> Path:
    file = _fresh(server)
    try:
        with file.open("wb") as out:
            async for chunk in in_time(
                chunks(request, server.limits.bundle, "bundle"), server.limits.seconds
            ):
                await run_in_threadpool(out.write, chunk)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file


def _fresh(server: Server) -> Path:
    handle, name = tempfile.mkstemp(dir=server.folder, suffix=".safetensors")
    open(handle, "wb").close()
    return Path(name)


def _opened(file: Path, name: str) -> Bundle:
    """A bundle whose every byte was read; errors call it by its name."""
    from okedit_cli.bundle import Bundle

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Bundle.load(file, verify=True)
    except OkeditError as error:
        raise type(error)(error.message.replace(str(file), name), hint=error.hint) from None

"""Bundles on the hub: hf://owner/name[/file], through huggingface_hub's own cache, token and settings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from okedit_cli.errors import InvalidBundle, OkeditError, UsageError
from okedit_cli.models.hub import SCHEME, cache_alone

FILE = "bundle.safetensors"  # what `okedit export` calls the bundle in its folder
_PLACE = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:/([\w./ +-]+))?")


@dataclass(frozen=True)
class Place:
    """A repository on the hub, and a file in it where one is named."""

    repo: str
    file: str | None = None


def is_hub(name: str | os.PathLike) -> bool:
    """Whether a bundle's name means the hub."""
    return os.fspath(name).startswith(SCHEME)


def place_of(name: str) -> Place:
    """The parts of hf://owner/name[/file]; UsageError when it is something else."""
    found = _PLACE.fullmatch(name)
    if not found or ".." in name or "//" in name.removeprefix(SCHEME):
        raise UsageError(
            f"{name!r} is no place on the hub.", hint="Write hf://owner/name or hf://owner/name/file."
        )
    return Place(found[1], found[2])


def fetch_bundle(name: str) -> Path:
    """The bundle as a file in huggingface_hub's cache, downloaded where it is not there yet.

    InvalidBundle: the repository holds none or several. OkeditError: not found, not reachable, not allowed.
    """
    import huggingface_hub
    from huggingface_hub import errors

    place = place_of(name)
    with _in_words(name):
        options = {"local_files_only": True} if cache_alone() else {}
        if place.file is None:
            try:
                return Path(huggingface_hub.hf_hub_download(place.repo, FILE, **options))
            except errors.EntryNotFoundError as error:
                if isinstance(error, errors.LocalEntryNotFoundError):
                    raise  # not a file that is missing there, but a hub that cannot be asked
        file = place.file or _only_bundle(name, place.repo)
        return Path(huggingface_hub.hf_hub_download(place.repo, file, **options))


def _only_bundle(name: str, repo: str) -> str:
    import huggingface_hub

    files = [file for file in huggingface_hub.HfApi().list_repo_files(repo) if file.endswith(".safetensors")]
    if len(files) == 1:
        return files[0]
    few = ", ".join(file[:80] for file in files[:5])
    raise InvalidBundle(
        f"{name}: the repository holds {len(files)} .safetensors files, expected one bundle"
        + (f" (it has {few})." if files else "."),
        hint=f"Name the file: {name}/FILE.safetensors." if files else "Check the repository's name.",
    )


def check_target(name: str) -> Place:
    """The repository to export to. UsageError: it is something else; OkeditError: the hub is out of reach."""
    place = place_of(name)
    if place.file is not None:
        raise UsageError(
            f"{name} names a file, expected a repository to export to.", hint=f"--to {SCHEME}{place.repo}"
        )
    if cache_alone():
        raise _out_of_reach(name, "nothing can be uploaded")
    return place


def push_folder(name: str, folder: Path, *, private: bool) -> str:
    """Upload a folder to the hub, making the repository where there is none; returns its address."""
    import huggingface_hub

    place = check_target(name)
    with _in_words(name):
        api = huggingface_hub.HfApi()
        api.create_repo(place.repo, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=place.repo, folder_path=folder, commit_message="Export an okedit bundle"
        )
    return str(getattr(done, "repo_url", None) or f"https://huggingface.co/{place.repo}")


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """What the hub or the network refuses, as one sentence and what to do."""
    from huggingface_hub import errors

    try:
        yield
    except OkeditError:
        raise
    except Exception as error:
        link: BaseException | None = error
        kinds: tuple[type, ...] = ()
        while link is not None and type(link) not in kinds:
            kinds += (type(link),)
            link = link.__cause__ or link.__context__

        def among(*wanted: type) -> bool:
            return any(issubclass(kind, wanted) for kind in kinds)

        network = among(
            errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError
        )
        network = network or any(kind.__name__ in ("ConnectError", "ConnectTimeout") for kind in kinds)
        if among(errors.GatedRepoError):
            raise _told(name, "access to it must be asked for", "Accept its terms on its hub page.") from None
        if among(errors.RepositoryNotFoundError):
            hint = "Check the spelling; a private one needs `hf auth login` or HF_TOKEN."
            raise _told(name, "there is no such repository on the hub, or it is private", hint) from None
        if network:
            raise _out_of_reach(name, "not in the local cache") from None
        if among(errors.EntryNotFoundError):
            raise _told(
                name, "the repository has no such file", "Check the file's name on its page."
            ) from None
        if among(errors.LocalTokenNotFoundError) or getattr(
            getattr(error, "response", None), "status_code", 0
        ) in (401, 403):
            hint = "Log in with `hf auth login`, or set HF_TOKEN to a token that may write there."
            raise _told(name, "the hub does not let this user do that", hint) from None
        if among(errors.HFValidationError, errors.HfHubHTTPError):
            first = str(error).strip().split("\n")[0]
            raise _told(
                name, f"the hub refused: {first[:200]}", "Check the name, or try again later."
            ) from None
        raise


def _out_of_reach(name: str, what: str) -> OkeditError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _told(
            name, f"{what}, and HF_HUB_OFFLINE is set", "Unset it once to reach the hub, or name a file."
        )
    hint = "Check the network, or name a file here; HF_HUB_ETAG_TIMEOUT=10 waits longer for a slow one."
    return _told(name, f"{what}, and the hub cannot be reached", hint)


def _told(name: str, reason: str, hint: str) -> OkeditError:
    return OkeditError(f"{name}: {reason}.", hint=hint)

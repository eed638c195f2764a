"""The bundles of a server by name: added, removed and exchanged between batches, and chosen by model name.

A bundle is checked in full before anything changes, and kept as a file of the server's own, so that nobody
can write to what is attached. To be changed from the thread that owns the model alone; what is listed may be
read by any. Not here: HTTP.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from okedit_cli.bundle import FitWarning
from okedit_cli.errors import InvalidBundle, ModelMismatch
from okedit_cli.serve.errors import ApiError, bad
from okedit_cli.session import attach, session_of

if TYPE_CHECKING:
    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.session import Attachment, Session

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
JOIN = "+"


@dataclass(frozen=True)
class Held:
    """One bundle of a server."""

    name: str
    bundle: Bundle
    attachment: Attachment

    @property
    def gated(self) -> bool:
        """Whether it leaves questions alone that it does not answer, bit by bit."""
        return self.bundle.edits.gated


class Bundles:
    """Those of one model, in the order in which they were added."""

    def __init__(
        self, loaded: LoadedModel, *, strictness: float | None = None, without: Collection[str] = ()
    ) -> None:
        self.loaded, self.strictness, self.without = loaded, strictness, without
        self.listed: tuple[Held, ...] = ()

    @property
    def model_names(self) -> list[str]:
        """What requests may name as their model: the base, it with each bundle, and with all of them."""
        base, names = self.loaded.name, [held.name for held in self.listed]
        whole = [JOIN.join([base, *names])] if len(names) > 1 else []
        return [base, *(f"{base}{JOIN}{name}" for name in names), *whole]

    def chosen(self, model: str | None) -> tuple[Held, ...]:
        """The bundles that a model name asks for, all where there is none; ApiError 404: there is no such."""
        held = {one.name: one for one in self.listed}
        base = self.loaded.name
        if model is None:
            return self.listed
        if model == base:
            return ()
        names = model[len(base) + 1 :].split(JOIN) if model.startswith(base + JOIN) else [""]
        missing = [name for name in names if name not in held]
        if missing:
            known = ", ".join(self.model_names)
            raise ApiError(
                404, f"There is no model {model[:200]!r} here.", code="model_not_found", param="model",
                hint=f"Models: {known}.",
            )  # fmt: skip
        return tuple(one for one in self.listed if one.name in names)

    def put(self, name: str, bundle: Bundle) -> bool:
        """Add a bundle, or exchange the one of that name; whether there was one. What is wrong with it is
        told (InvalidBundle, ModelMismatch) and nothing has changed.
        """
        session = session_of(self.loaded)
        before = list(session.attachments)
        bundle.name = name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FitWarning)
                attachment = attach(self.loaded, [bundle], strictness=self.strictness, without=self.without)
            attachment.detach()
            held = Held(name, bundle, attachment)
            there = name in [one.name for one in self.listed]
            listed = tuple(held if one.name == name else one for one in self.listed)
            listed = listed if there else (*listed, held)
            self._install(session, listed)
        except (InvalidBundle, ModelMismatch) as error:
            self._restore(session, before)
            raise type(error)(f"{name}: {error.message}", hint=error.hint) from None
        except Exception:
            self._restore(session, before)
            raise
        self.listed = listed
        return there

    def remove(self, name: str) -> None:
        """Take a bundle off; ApiError 404: there is none of that name."""
        listed = tuple(one for one in self.listed if one.name != name)
        if len(listed) == len(self.listed):
            raise unknown(name)
        self._install(session_of(self.loaded), listed)
        self.listed = listed

    @contextmanager
    def using(self, chosen: Sequence[Held]) -> Iterator[Session | None]:
        """Context: these act and no others; the session, None where it is the base model by itself."""
        session = session_of(self.loaded)
        if chosen:
            self._install(session, chosen)
            yield session
        elif session.attachments:
            with session.aside():
                yield None
        else:
            yield None

    def _install(self, session: Session, chosen: Sequence[Held]) -> None:
        wanted = [one.attachment for one in chosen]
        if len(wanted) != len(session.attachments) or any(
            one is not other for one, other in zip(wanted, session.attachments, strict=True)
        ):
            self._restore(session, wanted)

    @staticmethod
    def _restore(session: Session, wanted: Sequence[Attachment]) -> None:
        for one in list(session.attachments):
            session.take_off(one)
        for one in wanted:
            session.put_on(one)


def checked_name(name: str | None) -> str:
    """A name that a bundle may have; ApiError 400."""
    if name is None or not NAME.fullmatch(name):
        raise bad(
            "name is missing or holds other signs than letters, digits, '.', '_' and '-', or more than 64.",
            param="name",
        )
    return name


def unknown(name: str) -> ApiError:
    """There is no such bundle."""
    return ApiError(404, f"There is no bundle {name[:80]!r} here.", code="bundle_not_found", param="name")

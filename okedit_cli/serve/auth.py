"""API keys: who may ask, and who may change which bundles are attached."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from okedit_cli.errors import UsageError
from okedit_cli.serve.errors import ApiError

_BEARER = "bearer "


@dataclass(frozen=True)
class Keys:
    """The keys that open a server: any of `api` to ask (none: everybody may), `admin` to change it as well
    (None: nobody may).

    UsageError: a key is empty or blank, as one of an unset shell variable is.
    """

    api: Collection[str] = ()
    admin: str | None = None

    def __post_init__(self) -> None:
        for option, keys in (("--api-key", self.api), ("--admin-key", [self.admin])):
            if any(key is not None and not key.strip() for key in keys):
                raise UsageError(
                    f"The key of {option} is empty, expected one that nobody guesses.",
                    hint="Set the variable it comes from, or leave the option out.",
                )

    def check(self, headers: Mapping[str, str]) -> None:
        """ApiError 401 unless a request's headers hold a key that may ask."""
        given = _given(headers)
        if self.api and not self._one_of(given, [*self.api, *([self.admin] if self.admin else [])]):
            raise _missing(given)

    def check_admin(self, headers: Mapping[str, str]) -> None:
        """ApiError 401 or 403 unless a request's headers hold the admin key."""
        given = _given(headers)
        if self.admin is None:
            raise ApiError(
                403,
                "Bundles of this server cannot be changed, since it has no admin key.",
                hint="Start it with --admin-key.",
            )
        if self._one_of(given, [self.admin]):
            return
        if given is not None and self._one_of(given, self.api):
            raise ApiError(403, "This key may ask, but not change bundles.", hint="Give the admin key.")
        raise _missing(given, "admin key")

    @staticmethod
    def _one_of(given: str | None, keys: Collection[str]) -> bool:
        """Whether it is one of the keys; how long that takes does not tell how much of one was right."""
        asked = (given or "").encode()
        return any([hmac.compare_digest(asked, key.strip().encode()) for key in keys]) and bool(given)


def _given(headers: Mapping[str, str]) -> str | None:
    """The key of a request; a mapping of headers that tells no case apart."""
    value = headers.get("authorization")
    return value[len(_BEARER) :].strip() if value and value[: len(_BEARER)].lower() == _BEARER else None


def _missing(given: str | None, what: str = "API key") -> ApiError:
    message = f"There is no {what} in the request." if given is None else f"The {what} is not known here."
    hint = "Send the header 'Authorization: Bearer KEY'."
    return ApiError(401, message, hint=hint, headers={"WWW-Authenticate": "Bearer"})

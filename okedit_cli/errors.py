"""Every error that a user can cause or must act on.

    OkeditError
      UsageError        2    a command or call that makes no sense as asked
      InvalidFacts      3    a fact file or picture that cannot be used
      InvalidBundle     3    a bundle that cannot be read
      ModelMismatch     4    a bundle that belongs to another base model
      FactsDidNotTake   5    some facts did not take, or were kept out
      BelowBar          6    an evaluation below a bar that the user set
      ModelError        1    a model that cannot be loaded or is not supported
      SetupError        1    the built-in model could not be fetched or assembled

The message is one sentence (what, where, what was expected); the hint says what to do.
Further lines of the message list details.
"""

from __future__ import annotations


class OkeditError(Exception):
    """An error told to the user as `error: message` and `hint: hint`; `exit_code` is the process's."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(OkeditError):
    exit_code = 2


class InvalidFacts(OkeditError):
    exit_code = 3


class InvalidBundle(OkeditError):
    exit_code = 3


class ModelMismatch(OkeditError):
    exit_code = 4


class FactsDidNotTake(OkeditError):
    exit_code = 5


class BelowBar(OkeditError):
    exit_code = 6


class ModelError(OkeditError):
    exit_code = 1


class SetupError(OkeditError):
    exit_code = 1

"""One request between the event loop, which serves its client, and the thread that answers it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from okedit_cli.serve.engine import Ask
from okedit_cli.serve.worker import Job

if TYPE_CHECKING:
    from okedit_cli.scope.verdict import Verdict
    from okedit_cli.serve.bundles import Held
    from okedit_cli.serve.decoding import Sampling
    from okedit_cli.serve.prompt import Prompt


@dataclass
class Exchange:
    """What has come of a request so far; to be made inside the event loop."""

    prompt: Prompt
    sampling: Sampling
    model: str | None
    bundles: tuple[Held, ...] = ()
    verdict: Verdict | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0
    reason: str = ""
    left: bool = False  # nobody waits for the answer any more
    _told: asyncio.Queue = field(default_factory=asyncio.Queue)
    _loop: Any = field(default_factory=asyncio.get_running_loop)
    _over: bool = False

    def job(self) -> Job:
        """What the worker answers."""
        ask = Ask(
            self.prompt, self.sampling, self._begun, self._put, self._ended, self._failed, lambda: self.left
        )
        return Job(ask, self.model, self._bound)

    def leave(self) -> None:
        """Nobody waits any more: the answer ends with its next token."""
        self.left = True

    async def begin(self) -> None:
        """Wait until it is decided what answers; raises what failed before."""
        found = await self._told.get()
        if isinstance(found, Exception):
            raise found

    async def texts(self) -> AsyncIterator[str]:
        """The answer's pieces up to its end, behind `begin`; raises what fails."""
        while (found := await self._told.get()) is not None:
            if isinstance(found, Exception):
                raise found
            yield found

    def _bound(self, held: tuple) -> None:
        self.bundles = held

    def _begun(self, verdict: Verdict | None, tokens: int) -> None:
        self.verdict, self.prompt_tokens = verdict, tokens
        self._put(True)

    def _ended(self, reason: str, tokens: int) -> None:
        self.reason, self.answer_tokens = reason, tokens
        self._put(None, last=True)

    def _failed(self, error: Exception) -> None:
        self._put(error, last=True)

    def _put(self, item: Any, last: bool = False) -> None:
        if self._over:  # a batch that fails tells all of its requests, those too that have ended
            return
        self._over = last
        with contextlib.suppress(RuntimeError):  # the loop has gone with the server
            self._loop.call_soon_threadsafe(self._told.put_nowait, item)

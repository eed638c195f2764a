"""EditedModel: a caller's own model with bundles attached, for the caller's own code. Not here: hooks."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from okedit_cli.models.wrap import wrap
from okedit_cli.session.model import Attachment, attach

if TYPE_CHECKING:
    from torch import nn

    from okedit_cli.bundle import Bundle
    from okedit_cli.models.load import LoadedModel
    from okedit_cli.scope.verdict import Verdict


class EditedModel:
    """A model with bundles attached until `detach()` or the end of a `with`; every other attribute is the
    model's own.

        edited = EditedModel(model, processor, ["facts.safetensors"])
        ids = edited.generate(**inputs)     # model.generate(**inputs) is answered the same
        print(edited.verdicts[0].hit)       # which edit answered, None for the model's own answer

    Errors are those of wrap() and attach().
    """

    def __init__(
        self,
        model: nn.Module | LoadedModel,
        processor: Any = None,
        bundles: Sequence[Bundle | str | PathLike[str]] | Bundle | str | PathLike[str] = (),
        *,
        strictness: float | None = None,
    ) -> None:
        self.loaded = wrap(model, processor)
        self.model = model.model if model is self.loaded or isinstance(model, EditedModel) else model
        self.attachments: list[Attachment] = []
        if not isinstance(bundles, Sequence) or isinstance(bundles, str) or bundles:
            self.attach(bundles, strictness=strictness)

    def attach(
        self,
        bundles: Sequence[Bundle | str | PathLike[str]] | Bundle | str | PathLike[str],
        *,
        strictness: float | None = None,
    ) -> Attachment:
        """Attach further bundles, beside those that are; what is returned takes them off again."""
        self.attachments.append(attach(self.loaded, bundles, strictness=strictness))
        return self.attachments[-1]

    def detach(self) -> None:
        """Take off what was attached here; the model is what it was. May be called again."""
        while self.attachments:
            self.attachments.pop().detach()

    @property
    def verdicts(self) -> list[Verdict]:
        """One a row of the last prompts that this thread had read."""
        return [] if self.loaded.session is None else self.loaded.session.call.verdicts

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward pass, with the edits."""
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "loaded", "attachments"):  # not there yet
            raise AttributeError(name)
        return getattr(self.model, name)

    def __enter__(self) -> EditedModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

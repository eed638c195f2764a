"""Settings of the methods, by default as published, and the layers of a model of another depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import UsageError
from okedit_cli.models.sites import decoder_layers

if TYPE_CHECKING:
    from okedit_cli.methods.base import Options
    from okedit_cli.models.load import LoadedModel


def told(default: Any, words: str) -> Any:
    """A setting with what it is."""
    return field(default=default, metadata={"help": words})


@dataclass(frozen=True)
class Locating:
    """MEMIT's on Llama3-8B, as AlphaEdit's authors run it: layers 4-8 of 32, 25 steps of Adam at 0.1, clamp
    0.75, decay 0.5, KL 0.0625, a stop at a loss of 0.05.
    """

    layers: tuple[int, ...] = told((), "decoder layers, in order [4-8 of 32, by the model's depth]")
    steps: int = told(25, "steps of the target vector, at most")
    rate: float = told(0.1, "of Adam, for the target vector, in a decoder of width 4096")
    clamp: float = told(0.75, "the longest change of a state, by the state's own length")
    decay: float = told(0.5, "weight of the change's length in the loss")
    kl: float = told(0.0625, 'weight of the divergence on "SUBJECT is a" in the loss')
    stop: float = told(0.05, "the loss at which the target vector is done")
    end: bool = told(True, "whether the token that ends the answer is learned")
    prefixes: int = told(5, "texts before the prompt that keys are averaged over, 0 to 5, besides none")
    tokens: int = told(0, "of the corpus, for the second moment of keys [10 times a key's width]")

    def __post_init__(self) -> None:
        for name in ("steps", "rate", "clamp"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("decay", "kl", "tokens"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.prefixes <= 5:
            raise ValueError(f"prefixes is {self.prefixes}, expected 0 to 5")


@dataclass(frozen=True)
class MemitSettings(Locating):
    """The second moment counts 15,000 times (Meng et al. 2023, and AlphaEdit's authors for Llama3-8B)."""

    weight: float = told(15_000.0, "of the preserved keys' second moment, for keys of width 14336")
    batch: int = told(0, "facts that are written at a time [all]")

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, weight=0, batch=0)


@dataclass(frozen=True)
class AlphaEditSettings(Locating):
    """100 facts at a time, L2 10 (Fang et al. 2025, Llama3-8B). The null space is ours: of ten rows
    of zsRE okedit-mini takes nine with a share of 0.02 and with 0.1, which moves preserved outputs more.
    """

    l2: float = told(10.0, "against long changes; published for keys of Llama3-8B")
    nullspace: float = told(
        0.02, "share of the preserved keys' squared length that may lie in the null space"
    )
    batch: int = told(100, "facts that are written at a time, 0 for all; later ones preserve earlier ones")

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, l2=0, batch=0)
        if not 0 < self.nullspace <= 1:
            raise ValueError(f"nullspace is {self.nullspace}, expected more than 0 and at most 1")


@dataclass(frozen=True)
class ComeSettings(MemitSettings):
    """MEMIT's, and alpha 0.1 on 20 % of coordinates (Jung et al. 2025)."""

    alpha: float = told(0.1, "how much of the old answer's vector is taken away")
    share: float = told(0.2, "of a state's coordinates, the largest, where it is taken away")

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, alpha=0)
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}, expected 0 to 1")


def _at_least(settings: Any, **bounds: float) -> None:
    for name, least in bounds.items():
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name} is {getattr(settings, name)}, expected {least} or more")


def layers_of(loaded: LoadedModel, options: Options) -> list[int]:
    """The layers to write to, ascending; UsageError for one that the model has not."""
    count = len(decoder_layers(loaded.model))
    chosen = options.settings.layers
    if not chosen and options.layer != "auto":
        chosen = (int(options.layer),)
    if not chosen:  # 4-8 of 32
        return list(range(round(count * 4 / 32), round(count * 8 / 32) + 1))
    wrong = [layer for layer in chosen if not 0 <= layer < count]
    if wrong:
        raise UsageError(
            f"layers has {wrong[0]}, expected 0 to {count - 1}: {loaded.name} has {count} decoder layers.",
            hint="For example --set layers=4-8.",
        )
    return sorted(set(chosen))

"""Open a vision-language or text model by name: hub id, folder, or the built-in `okedit-mini`."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models import hub
from okedit_cli.models.entries import entry_for, keeping_state, speaker
from okedit_cli.models.logs import quiet
from okedit_cli.models.memory import LEAST, set_bounds
from okedit_cli.models.processor import load_processor
from okedit_cli.models.supported import auto_class, check_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

MINI = "okedit-mini"
_DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
}
# each model's LoadedModel, by the model's id: two would hook it twice. One keeps its model alive, so none is
# kept here: its caller does that, or what is attached.
KNOWN: weakref.WeakValueDictionary[int, LoadedModel] = weakref.WeakValueDictionary()


@dataclass(eq=False)
class LoadedModel:
    """A model in eval mode with what it takes to talk to it. `processor` is None for a text-only model."""

    model: PreTrainedModel
    processor: ProcessorMixin | None
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    device: torch.device
    dtype: torch.dtype
    # what encode and fingerprint found out once
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    session: Any = field(default=None, repr=False)  # session.Session, once something was attached

    def __post_init__(self) -> None:
        KNOWN.setdefault(id(self.model), self)

    @cached_property
    def speaker(self) -> PreTrainedModel:
        """The module that reads words and says the next (models/entries.py)."""
        return speaker(self.model)

    def forward(self, **inputs: Any) -> Any:
        """A forward pass, by the module that takes these inputs (models/entries.py)."""
        with keeping_state(self.model):
            return entry_for(self.model, inputs)(**inputs)

    def generate(self, **inputs: Any) -> torch.Tensor:
        """The model's own generate(): prompts with what was made behind them."""
        with keeping_state(self.model):
            return entry_for(self.model, inputs).generate(**inputs)


def load_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    low_memory: bool = False,
) -> LoadedModel:
    """Load `name` offline where it can: fp32 on a CPU; on a GPU bf16, or fp16 where the checkpoint is fp16.

    `trust_remote_code` runs code that lies in the checkpoint; without it a model that needs some is refused.
    With `low_memory` as little is held beside the weights as can be: prompts are read one by one.
    Raises ModelError (not found, not reachable, not supported, files missing, no such device), UsageError
    (bad words).
    """
    source, shown = _source(name)
    at_hand = _at_hand(source, shown, revision) | {"trust_remote_code": trust_remote_code}
    place = _device(device)
    with quiet():
        config = _open(_load_config, source, shown, revision, **at_hand)
        auto = auto_class(config, shown)
        precision = _dtype(dtype, config, place)
        processor, tokenizer = _open(load_processor, source, shown, revision, config=config, **at_hand)
        model, info = _open(
            auto.from_pretrained,
            source,
            shown,
            revision,
            config=config,
            dtype=precision,
            output_loading_info=True,
            **at_hand,
            **({} if place.type == "cpu" else {"device_map": {"": str(place)}}),
        )
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise ModelError(
            f"{shown}: the checkpoint lacks {len(missing)} weights of {type(model).__name__}"
            f" ({missing[0]}, ...).",
            hint="It is incomplete or made for another class; download or save it again.",
        )
    check_model(model, shown)
    model = model.eval().requires_grad_(False)
    loaded = LoadedModel(
        model, processor, tokenizer, shown, _revision(config, source, revision), model.device, model.dtype
    )
    if low_memory:
        set_bounds(loaded, LEAST)
    return loaded


def _load_config(source: str, **options):
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(source, **options)


def _at_hand(source: str, shown: str, revision: str | None) -> dict[str, Any]:
    """How to load from a hub that may be out of reach; ModelError at once, before the libraries of models are
    imported, where the local cache does not hold the model either.
    """
    from huggingface_hub.errors import HFValidationError

    options = hub.loading(source)
    try:
        cached = not options or hub.in_cache(source, "config.json", revision)
    except HFValidationError:
        raise _no_model(shown) from None
    if not cached:
        raise _out_of_reach(shown)
    return options


def _source(name: str) -> tuple[str, str]:
    """(what from_pretrained gets, the name that is shown and stored): a folder goes by its last part."""
    if name == MINI:
        from okedit_cli.models.mini import ensure

        return str(ensure()), MINI
    if name.startswith(hub.SCHEME) and name.count("/") in (2, 3):
        name = name.removeprefix(hub.SCHEME)
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{name}: this folder holds no config.json, so it is no model checkpoint.",
                hint="Name the folder that save_pretrained wrote.",
            )
        return str(path), path.resolve().name
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1 or not name.strip():
        raise _no_model(name)
    return name, name


def _no_model(name: str) -> ModelError:
    return ModelError(
        f"{name!r} is not a model: no folder of that name, and no hub id (owner/name).",
        hint=f"Give a folder, a hub id, or {MINI}.",
    )


def _device(word: str) -> torch.device:
    import torch

    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(word)
    except RuntimeError as error:
        raise UsageError(
            f"--device {word!r} is not a device.", hint="Use auto, cpu, cuda, cuda:1 or mps."
        ) from error
    there = {
        "cpu": lambda: True,
        "cuda": lambda: torch.cuda.is_available() and (place.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available,
    }.get(place.type, lambda: False)
    if not there():
        raise ModelError(
            f"There is no device {word!r} on this machine.", hint="Use --device auto or --device cpu."
        )
    return place


def _dtype(word: str, config, place: torch.device) -> torch.dtype:
    import torch

    if word != "auto":
        if word not in _DTYPES:
            raise UsageError(
                f"--dtype {word!r} is not known.", hint="Use auto, float32, bfloat16 or float16."
            )
        return getattr(torch, _DTYPES[word])
    if place.type != "cuda":
        return torch.float32
    stored = config.dtype or config.get_text_config().dtype
    return torch.float16 if stored in (torch.float16, "float16") else torch.bfloat16


def _revision(config, source: str, revision: str | None) -> str | None:
    if Path(source).is_dir():
        return revision
    return getattr(config, "_commit_hash", None) or revision


def _open(opener, source: str, shown: str, revision: str | None, **options):
    """opener(source, ...), with every failure told as one ModelError."""
    if revision is not None and not Path(source).is_dir():
        options["revision"] = revision
    try:
        return opener(source, **options)
    except ModelError:
        raise
    except Exception as error:  # whatever transformers, the hub client or a broken file raises
        raise _told(error, source, shown, revision) from error


def _told(error: Exception, source: str, shown: str, revision: str | None) -> ModelError:
    from huggingface_hub import errors

    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)

    def among(*kinds: type) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    first = str(error).strip().split("\n")[0]
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{shown}: code that lies in its checkpoint has to be run, and that was not allowed.",
            hint="Read that code, then pass --trust-remote-code (trust_remote_code=True in Python).",
        )
    if among(errors.GatedRepoError):
        return ModelError(
            f"{shown}: access to this model must be asked for.",
            hint="Accept its terms on its hub page, then `hf auth login`.",
        )
    if among(errors.RevisionNotFoundError):
        return ModelError(
            f"{shown}: there is no revision {revision!r}.", hint="Check --revision on the model's page."
        )
    if among(errors.RepositoryNotFoundError):
        return ModelError(
            f"{shown}: no such folder here, and no such model on the hub.",
            hint="Check the spelling; a private model needs `hf auth login` or HF_TOKEN.",
        )
    if not Path(source).is_dir() and among(
        errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError
    ):
        return _out_of_reach(shown)
    if isinstance(error, ImportError):
        return ModelError(
            f"{shown}: a package is missing: {_sentence(error)}", hint="Install it and try again."
        )
    if isinstance(error, OSError) and "does not appear to have" in first:
        return ModelError(f"{shown}: files are missing: {first}", hint="Download or save the model again.")
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return ModelError(
            f"{shown}: not enough memory to load it.", hint="Try --dtype bfloat16 or --device cpu."
        )
    return ModelError(f"{shown} cannot be loaded: {first}", hint="Set OKEDIT_DEBUG=1 to see where it failed.")


def _out_of_reach(shown: str) -> ModelError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return ModelError(
            f"{shown}: not in the local cache, and HF_HUB_OFFLINE is set.",
            hint="Unset it once to download the model, or give a folder.",
        )
    return ModelError(
        f"{shown}: not a folder here nor whole in the local cache, and the hub cannot be reached.",
        hint="Check the network, or give a folder that holds the model; HF_HUB_ETAG_TIMEOUT=10 waits longer.",
    )


def _sentence(error: Exception) -> str:
    """The first line of an error that says something: transformers begins some with an empty one."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)

"""Build okedit-mini: an ordinary LLaVA checkpoint folder from the two fetched files and the trained parts
shipped here.

Where the picture tower plugs in (okedit_cli.models.mini.tower):
  OkeditMiniVisionConfig(**kwargs)     kwargs: the JSON `vision_config` in weights.safetensors' metadata,
      of which this file reads hidden_size, image_size, patch_size, num_additional_image_tokens (0 if absent):
      there are (image_size // patch_size)^2 + num_additional_image_tokens image tokens
  OkeditMiniVisionModel(config)        its hidden_states[-1] is [B, image tokens, hidden_size]
  assemble_state(package, trained, llm, tokenizer)    the model's state dict, from EfficientNet's (as
      package_state names it), the `tower.*` tensors (prefix removed), and the language model, update merged
  register()                           AutoConfig and AutoModel know both, as often as it is called
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from okedit_cli.errors import SetupError
from okedit_cli.models.mini import NAME, VERSION
from okedit_cli.models.mini.download import LANGUAGE, PICTURES
from okedit_cli.models.packages import TEMPORARY, fetch, okedit_home

if TYPE_CHECKING:
    from torch import Tensor

    from okedit_cli.models.packages import Progress

WEIGHTS = Path(__file__).with_name("weights.safetensors")
IMAGE_TOKEN = "<image>"
_STAMP = "okedit.json"  # says which trained parts a folder was built with
_STAGE = f"assembling {NAME}"


def model_folder() -> Path:
    """Where the assembled model belongs, there or not."""
    return okedit_home() / "models" / f"{NAME}-{VERSION}"


def is_ready() -> bool:
    """Whether the folder is there and made with the trained parts of this version. A folder is only ever
    whole.
    """
    try:
        stamp = json.loads((model_folder() / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp == _stamp()


def ensure(progress: Progress | None = None, *, force: bool = False) -> Path:
    """The model's folder; fetches and builds it under a lock where it is not ready, or with `force`. Raises
    SetupError.
    """
    from filelock import FileLock

    folder = model_folder()
    if is_ready() and not force:
        return folder
    if not WEIGHTS.is_file():
        raise SetupError(f"{NAME}: {WEIGHTS.name} is missing from the package.", hint="Install okedit again.")
    parts = okedit_home() / "parts"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The lock is the operating system's: it ends with the process, so a killed run blocks nobody.
        with FileLock(folder.parent / f".{NAME}.lock"):
            if is_ready() and not force:  # another process built it while we waited
                return folder
            _clear_leftovers(folder.parent, parts)
            language = fetch(LANGUAGE, parts, progress)
            pictures = fetch(PICTURES, parts, progress)
            build(language, pictures, folder, progress)
    except OSError as error:
        raise SetupError(
            f"{NAME} cannot be stored in {folder.parent}: {error.strerror or error}.",
            hint="Free some space (1.5 GB are needed for a moment), or point OKEDIT_HOME to another folder.",
        ) from error
    return folder


def _clear_leftovers(*folders: Path) -> None:
    """Remove what killed runs left. Only under the lock: nobody else's work is in progress then."""
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)


def build(language: Path, pictures: Path, folder: Path, progress: Progress | None) -> None:
    """Write the checkpoint beside its place, make it durable, and move it there in one step."""
    from okedit_cli.models.logs import quiet

    scratch = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder.parent))
    try:
        whole = scratch / folder.name
        steps = 4
        _tell(progress, 0, steps)
        model, processor = build_model(language, pictures, WEIGHTS)
        _tell(progress, 1, steps)
        with quiet():
            model.save_pretrained(whole)
            processor.save_pretrained(whole)
        _tell(progress, 2, steps)
        (whole / _STAMP).write_text(json.dumps(_stamp()), encoding="utf-8")
        _sync(whole)
        _tell(progress, 3, steps)
        if folder.exists():  # made with other trained parts
            os.replace(folder, scratch / "old")
        os.replace(whole, folder)
        _sync_folder(folder.parent)
        _tell(progress, steps, steps)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build_model(language: Path, pictures: Path, weights: Path):
    """(LlavaForConditionalGeneration in fp32, LlavaProcessor) from SmolLM2's GGUF, EfficientNet's .pth and
    our weights.
    """
    import torch
    from safetensors import safe_open
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    from okedit_cli.models.logs import quiet
    from okedit_cli.models.mini.efficientnet import package_state
    from okedit_cli.models.mini.language import load_language_model
    from okedit_cli.models.mini.tower import OkeditMiniVisionConfig, assemble_state, register

    register()
    with safe_open(weights, "pt") as file:
        notes = file.metadata() or {}
        trained = {name: _full(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
    # the GGUF reader draws a bar of its own, also where nobody watches
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        llm, tokenizer = load_language_model(language)
    merge_update(llm.model.layers, _below(trained, "lm."))
    image_token_id = add_image_token(llm, tokenizer)

    vision = OkeditMiniVisionConfig(**json.loads(notes.get("vision_config", "{}")))
    extra = getattr(vision, "num_additional_image_tokens", 0)
    config = LlavaConfig(
        vision_config=vision,
        text_config=llm.config,
        image_token_index=image_token_id,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2 + extra,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act=notes.get("projector_hidden_act", "gelu"),
        tie_word_embeddings=llm.config.tie_word_embeddings,
    )
    model = LlavaForConditionalGeneration(config).float().eval()
    package = package_state(torch.load(pictures, map_location="cpu", weights_only=True))
    try:
        model.model.vision_tower.load_state_dict(
            assemble_state(package, _below(trained, "tower."), llm, tokenizer)
        )
        model.model.multi_modal_projector.load_state_dict(_below(trained, "projector."))
        model.model.language_model.load_state_dict(llm.model.state_dict())
        model.lm_head.load_state_dict(llm.lm_head.state_dict())
    except RuntimeError as error:
        raise SetupError(
            f"{NAME}: {weights.name} does not fit the parts it is for: {error}", hint="Install okedit again."
        ) from error
    model.generation_config = llm.generation_config
    return model, _processor(tokenizer, vision, extra)


def merge_update(layers, update: dict[str, Tensor]) -> None:
    """W += B @ A for every pair `<layer>.<proj>.A` [r, in] and `.B` [out, r]; proj names a linear map."""
    import torch

    pairs = {name[:-2] for name in update}
    for pair in sorted(pairs):
        index, name = pair.split(".", 1)
        found = [
            module
            for path, module in layers[int(index)].named_modules()
            if path == name or path.endswith(f".{name}")
        ]
        if len(found) != 1 or not {f"{pair}.A", f"{pair}.B"} <= update.keys():
            raise SetupError(
                f"{NAME}: the update lm.{pair} fits no linear map.", hint="Install okedit again."
            )
        with torch.no_grad():
            found[0].weight += update[f"{pair}.B"].float() @ update[f"{pair}.A"].float()


def add_image_token(llm, tokenizer) -> int:
    """Give tokenizer and embeddings the placeholder; returns its id.

    Its row is a copy of a special token's that the model never says: features take its place on the way in,
    and on the way out it must not win.
    """
    import torch

    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    number = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    llm.resize_token_embeddings(max(len(tokenizer), llm.config.vocab_size), mean_resizing=False)
    unused = tokenizer.convert_tokens_to_ids("<jupyter_script>")
    unused = tokenizer.pad_token_id if unused in (None, tokenizer.unk_token_id) else unused
    with torch.no_grad():
        rows = llm.get_input_embeddings().weight
        rows[number] = rows[unused]
    return number


def _processor(tokenizer, vision, extra: int):
    """Pictures pressed to a square (as in training), on Pillow, (rgb - 0.498) / 0.502; the stock LLaVA
    processor.
    """
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    side = {"height": vision.image_size, "width": vision.image_size}
    images = CLIPImageProcessorPil(
        size=side, crop_size=side, do_center_crop=False, image_mean=[0.498] * 3, image_std=[0.502] * 3
    )
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=extra,
        chat_template=tokenizer.chat_template,
    )


def _full(tensor: Tensor) -> Tensor:
    """Stored in half precision to be small; tables of ids stay what they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _stamp() -> dict[str, str]:
    """What a folder was built from: the trained parts, and the two files by their sha256."""
    trained = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() if WEIGHTS.is_file() else ""
    return {"version": VERSION, "trained": trained, "language": LANGUAGE.sha256, "pictures": PICTURES.sha256}


def _sync(folder: Path) -> None:
    """All files of the folder on the disk before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress:
        progress(_STAGE, done, total)

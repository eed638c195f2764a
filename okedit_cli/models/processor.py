"""Open the processor (or only the tokenizer) of a checkpoint, also where torchvision is not installed."""

from __future__ import annotations

import importlib
import inspect
import sys
from types import SimpleNamespace


def load_processor(source: str, *, config, **options):
    """(processor or None, tokenizer) of the checkpoint; a text-only model has no processor."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    sees = type(config) in AutoModelForImageTextToText._model_mapping
    if not sees and "AutoModelForImageTextToText" not in (getattr(config, "auto_map", None) or {}):
        return None, AutoTokenizer.from_pretrained(source, **options)
    processor = _processor(source, config, options)
    return processor, processor.tokenizer


def _processor(source: str, config, options: dict):
    """AutoProcessor's, or one without its video part where that part is all that fails."""
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    processor = None
    # transformers opens the video processor of Qwen2-VL and others even when only pictures are used, and that
    # one needs torchvision (huggingface/transformers#48558); it fails as ImportError or, in older versions,
    # TypeError.
    try:
        processor = AutoProcessor.from_pretrained(source, **options)
    except (ImportError, TypeError, ValueError):
        if is_torchvision_available() and not _wants_num2words(config):
            raise
        if type(config) not in PROCESSOR_MAPPING:
            raise
    if processor is None:
        found = _light(_named(source, options)) or PROCESSOR_MAPPING[type(config)]
        processor = _image_only(found).from_pretrained(source, **options)
    if getattr(processor, "tokenizer", None) is None or getattr(processor, "image_processor", None) is None:
        raise ValueError(
            f"there is no processor for pictures and text with it, only a {type(processor).__name__}"
        )
    return _on_pillow(processor, source, options)


def _named(source: str, options: dict) -> str:
    """The processor class that a checkpoint names: LLaVA's class has Pixtral's processor too."""
    from transformers.processing_utils import ProcessorMixin

    try:
        settings, _ = ProcessorMixin.get_processor_dict(source, **options)
    except (OSError, ValueError):
        return ""
    return str(settings.get("processor_class", ""))


def _light(name: str) -> type | None:
    """A processor class without a package that only its videos, or its other image processor, need."""
    if name == "PixtralProcessor":
        # it imports one function from a module of torchvision's, which the Pillow module has too
        pillow = importlib.import_module("transformers.models.pixtral.image_processing_pil_pixtral")
        wanted = "transformers.models.pixtral.image_processing_pixtral"
        sys.modules[wanted] = pillow
        try:
            return importlib.import_module("transformers.models.pixtral.processing_pixtral").PixtralProcessor
        finally:
            del sys.modules[wanted]
    if name == "SmolVLMProcessor":
        module = importlib.import_module("transformers.models.smolvlm.processing_smolvlm")
        if module.num2words is None:
            module.num2words = str  # says numbers of a video's frames; no picture needs it
        return module.SmolVLMProcessor
    return None


def _wants_num2words(config) -> bool:
    return config.model_type == "smolvlm"


def _on_pillow(processor, source: str, options: dict):
    """The processor with the Pillow image processor where the family has one, torchvision installed or not.

    The two resize differently, and a bundle must meet the same pixels on every machine.
    """
    from transformers import AutoImageProcessor

    if not type(processor.image_processor).__name__.endswith("Pil"):
        processor.image_processor = AutoImageProcessor.from_pretrained(source, backend="pil", **options)
    return processor


def _image_only(processor_class: type) -> type:
    """The processor class without its video processor; everything about pictures and text is inherited."""

    class ImageOnlyProcessor(processor_class):
        video_processor = SimpleNamespace(num_frames=None, fps=None)  # SmolVLM's templates read these two

        # __init__ stays the family's own: from_pretrained reads from its code which settings to pass on
        @classmethod
        def get_attributes(cls):
            return [name for name in processor_class.get_attributes() if "video" not in name]

        @classmethod
        def from_args_and_dict(cls, args, *rest, **kwargs):
            given = iter(args)
            filled = [None if "video" in name else next(given) for name in processor_class.get_attributes()]
            return super().from_args_and_dict(filled, *rest, **kwargs)

    if "video_processor" not in inspect.signature(processor_class.__init__).parameters:
        return processor_class
    ImageOnlyProcessor.__name__ = ImageOnlyProcessor.__qualname__ = processor_class.__name__
    ImageOnlyProcessor.__module__ = processor_class.__module__
    return ImageOnlyProcessor

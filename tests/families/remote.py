"""Tiny models that transformers does not know: their code lies in the checkpoint's folder (`auto_map`), as
that of Qwen-VL or MiniCPM-V does. Each wraps a class of transformers' own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from families.text import qwen2

CODE = Path(__file__).parent / "remote_code"


def remote_text():
    """A text model, opened as AutoModelForCausalLM."""
    from families.remote_code.configuration_words import WordsConfig
    from families.remote_code.modeling_words import WordsForCausalLM

    like, words = qwen2()
    model = WordsForCausalLM(WordsConfig(**_settings(like.config)))
    named = {
        "AutoConfig": "configuration_words.WordsConfig",
        "AutoModelForCausalLM": "modeling_words.WordsForCausalLM",
    }
    return model, _WithCode(words, named)


def remote_llava():
    """A vision-language model with a processor of its own, opened as AutoModelForImageTextToText."""
    import tiny

    from families.remote_code.configuration_sight import SightConfig
    from families.remote_code.modeling_sight import SightForConditionalGeneration
    from families.remote_code.processing_sight import SightProcessor

    like, known = tiny._llava()
    processor = SightProcessor(
        known.image_processor,
        known.tokenizer,
        patch_size=known.patch_size,
        vision_feature_select_strategy=known.vision_feature_select_strategy,
        num_additional_image_tokens=known.num_additional_image_tokens,
        chat_template=known.chat_template,
    )
    named = {
        "AutoConfig": "configuration_sight.SightConfig",
        "AutoModelForImageTextToText": "modeling_sight.SightForConditionalGeneration",
        "AutoProcessor": "processing_sight.SightProcessor",
    }
    model = SightForConditionalGeneration(SightConfig(**_settings(like.config)))
    return model, _WithCode(processor, named)


def _settings(config) -> dict:
    """A config's settings but for its type, which is the wrapping class's."""
    dropped = ("model_type", "architectures", "transformers_version")
    return {key: value for key, value in config.to_dict().items() if key not in dropped}


class _WithCode:
    """Saves a tokenizer or processor, the code's files, and where they are named."""

    def __init__(self, saver, named: dict[str, str]):
        self.saver, self.named = saver, named

    def save_pretrained(self, folder: Path) -> None:
        self.saver.save_pretrained(folder)
        for module in {place.partition(".")[0] for place in self.named.values()}:
            shutil.copy(CODE / f"{module}.py", folder)
        for file in ("config.json", "processor_config.json", "tokenizer_config.json"):
            if (folder / file).exists():
                self._name(folder / file)

    def _name(self, file: Path) -> None:
        """Say in a config where its classes are."""
        wanted = (
            [name for name in self.named if name != "AutoProcessor"]
            if file.name == "config.json"
            else ["AutoProcessor"]
        )
        own = {name: self.named[name] for name in wanted if name in self.named}
        if own:
            content = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({**content, "auto_map": own}, indent=2), encoding="utf-8")

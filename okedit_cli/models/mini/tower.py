"""The picture tower of okedit-mini: EfficientNet-Lite2, and rows that say what its classifiers make of the
picture.

Output rows [image tokens, 1280 + d]: nine of pooled features (a 3 x 3 grid, the last d columns zero), then
the
expected embeddings of the picture's name (6 tokens), kind (2) and colour (1), with the first 1280 columns
zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from okedit_cli.models.mini.concepts import ConceptHead, head_inputs
from okedit_cli.models.mini.efficientnet import HEAD, MIDDLE_BLOCK, EfficientNetLite2
from okedit_cli.models.mini.tokens import (
    COLOUR_ROWS,
    COLOURS,
    GRID,
    KIND_ROWS,
    NAME_ROWS,
    colour_weights,
    expected_rows,
    token_table,
)

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

SHARPNESS = 1.5  # of the concept head's name logits, as in training
LEVELS = (10, MIDDLE_BLOCK, 19)  # blocks whose statistics a picture is recognised by: texture, parts, things


class OkeditMiniVisionConfig(PretrainedConfig):
    """Sizes of the tower; `names` counts the concept head's own names, `vocabulary` those with ImageNet's,
    `tokens` the different tokens that spell them."""

    model_type = "okedit_mini_vision"

    def __init__(
        self,
        names: int = 1,
        vocabulary: int = 1,
        kinds: int = 1,
        head_hidden: int = 1024,
        head_width: int = 384,
        text_width: int = 576,
        tokens: int = 1,
        image_size: int = 224,
        photo_bias: float = 0.0,
        **kwargs,
    ):
        self.names, self.vocabulary, self.kinds = names, vocabulary, kinds
        self.head_hidden, self.head_width, self.text_width = head_hidden, head_width, text_width
        self.tokens, self.image_size, self.photo_bias = tokens, image_size, photo_bias
        self.hidden_size = HEAD + text_width
        self.patch_size = image_size // GRID
        self.num_additional_image_tokens = NAME_ROWS + KIND_ROWS + COLOUR_ROWS
        kwargs.pop("hidden_size", None)
        kwargs.pop("patch_size", None)
        kwargs.pop("num_additional_image_tokens", None)
        super().__init__(**kwargs)


class OkeditMiniVisionModel(PreTrainedModel):
    """Pixels [B, 3, 224, 224] -> rows [B, 18, 1280 + d]; opinions are weighed in fp32."""

    config_class = OkeditMiniVisionConfig
    base_model_prefix = "tower"
    main_input_name = "pixel_values"

    def __init__(self, config: OkeditMiniVisionConfig):
        super().__init__(config)
        self.encoder = EfficientNetLite2()
        self.head = ConceptHead(config.names, config.kinds, config.head_hidden, config.head_width)
        self.register_buffer("grid_mean", torch.zeros(HEAD))
        self.register_buffer("grid_std", torch.ones(HEAD))
        self.register_buffer("imagenet_name", torch.zeros(1000, dtype=torch.long))
        self.register_buffer("imagenet_kind", torch.zeros(1000, dtype=torch.long))
        for name, rows, count in (
            ("name", NAME_ROWS, config.vocabulary),
            ("kind", KIND_ROWS, config.kinds),
            ("colour", COLOUR_ROWS, len(COLOURS)),
        ):
            self.register_buffer(f"{name}_tokens", torch.zeros(count, rows, dtype=torch.long))
        self.register_buffer("token_embeddings", torch.zeros(config.tokens, config.text_width))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Weights come from files; nothing is drawn."""

    def opinions(
        self, pooled: torch.Tensor, middle: torch.Tensor, colours: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Weights over names [B, vocabulary], kinds [B, kinds] and colours [B, 11] of pooled features."""
        kept = self.encoder.fc.weight.dtype
        hidden = self.head.hidden(head_inputs(pooled, middle, colours).to(kept))
        own = (self.head.name_logits(self.head.embed(hidden)).float() * SHARPNESS).softmax(1)
        seen = self.encoder.fc(pooled.to(kept)).float().softmax(1)
        photo = torch.sigmoid(self.head.gate(hidden).float() + self.config.photo_bias)
        names = pooled.new_zeros(len(pooled), self.config.vocabulary)
        names[:, : own.shape[1]] = own * (1 - photo)
        names.index_add_(1, self.imagenet_name, seen * photo)
        kinds = self.head.kinds(hidden).float().softmax(1) * (1 - photo)
        kinds.index_add_(1, self.imagenet_kind, seen * photo)
        return names, kinds, colour_weights(colours)

    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """Pixels as (rgb01 - 0.498) / 0.502."""
        kept = self.encoder.fc.weight.dtype
        features, levels = self.encoder.levels(pixel_values.to(kept), LEVELS)
        features, levels = features.float(), [level.float() for level in levels]
        middle = levels[LEVELS.index(MIDDLE_BLOCK)]
        rgb = (pixel_values.float() * 0.502 + 0.498).clamp(0, 1) * 255
        colours = F.adaptive_avg_pool2d(rgb, 8).round()
        pooled = features.mean((2, 3))
        names, kinds, shades = self.opinions(pooled, middle.mean((2, 3)), colours)
        table = self.token_embeddings.float()
        said = torch.cat(
            [
                expected_rows(names, self.name_tokens, table),
                expected_rows(kinds, self.kind_tokens, table),
                expected_rows(shades, self.colour_tokens, table),
            ],
            1,
        )
        grid = F.adaptive_avg_pool2d(features, GRID).flatten(2).transpose(1, 2)
        grid = (grid - self.grid_mean.float()) / self.grid_std.float()
        rows = torch.cat([F.pad(grid, (0, said.shape[2])), F.pad(said, (HEAD, 0))], 1).to(pixel_values.dtype)
        found = self.descriptor(features, levels, colours, names)
        return BaseModelOutputWithPooling(last_hidden_state=rows, hidden_states=(rows,), pooler_output=found)

    def descriptor(
        self, features: torch.Tensor, levels: list[torch.Tensor], colours: torch.Tensor, names: torch.Tensor
    ) -> torch.Tensor:
        """Numbers [B, D + 1 + vocabulary] that a picture is recognised by, fp32 (models/mini/pictures.py).

        Statistics of several levels' features and what the class and concept heads say [D]; the probability
        of a photograph [1]; square roots of the weights over names.
        """
        kept = self.encoder.fc.weight.dtype
        pooled = features.mean((2, 3))
        middle = levels[LEVELS.index(MIDDLE_BLOCK)].mean((2, 3))
        hidden = self.head.hidden(head_inputs(pooled, middle, colours).to(kept))
        photo = torch.sigmoid(self.head.gate(hidden).float() + self.config.photo_bias)
        classes = (self.encoder.fc(pooled.to(kept)).float() / 2).softmax(1).sqrt()
        spread = [x.flatten(2).std(2) for x in (features, *levels)]
        means = [x.mean((2, 3)) for x in levels]
        embedded = self.head.embed(hidden).float()
        return torch.cat([pooled, *spread, *means, classes, embedded, photo, names.float().sqrt()], 1)


def register() -> None:
    """Make AutoConfig and AutoModel know the tower; may be called again."""
    AutoConfig.register(OkeditMiniVisionConfig.model_type, OkeditMiniVisionConfig, exist_ok=True)
    AutoModel.register(OkeditMiniVisionConfig, OkeditMiniVisionModel, exist_ok=True)


def assemble_state(
    package: dict[str, torch.Tensor],
    trained: dict[str, torch.Tensor],
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
) -> dict[str, torch.Tensor]:
    """The tower's state: the package's network, our trained head, and the embeddings of every name's
    tokens.
    """
    from okedit_cli.models.mini.vocabulary import load_vocabulary

    words = load_vocabulary()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def tokenize(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    tables = [
        token_table(words.names, tokenize, end, NAME_ROWS),
        token_table(words.kinds, tokenize, end, KIND_ROWS),
        token_table(list(COLOURS), tokenize, end, COLOUR_ROWS),
    ]
    # Only the rows that are looked up: the whole table would double the checkpoint.
    used = torch.cat([table.flatten() for table in tables]).unique()
    place = {int(token): row for row, token in enumerate(used)}
    tables = [table.apply_(lambda token: place[int(token)]) for table in tables]
    state = {f"encoder.{k}": v for k, v in package.items()}
    state |= trained
    state |= dict(zip(("name_tokens", "kind_tokens", "colour_tokens"), tables, strict=True))
    state["token_embeddings"] = llm.get_input_embeddings().weight[used].detach().clone()
    state["imagenet_name"], state["imagenet_kind"] = (
        torch.tensor(words.imagenet_names),
        torch.tensor(words.imagenet_kinds),
    )
    return state

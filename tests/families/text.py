"""Tiny random models of the text families, of transformers' own classes, as tiny.py builds its.

Each builder gives (model, tokenizer): sizes are small, everything that makes the family what it is stays:
where norms stand, which layers see a window only, how logits are capped, what the chat template writes.
"""

from __future__ import annotations

from tiny import HEADS, LAYERS, WIDTH
from tiny_words import tokenizer

from families import text_templates as templates

WINDOW = 24  # tokens that a sliding window sees: fewer than a prompt with its answer has


def _sizes(words, **more) -> dict:
    """What the configs of Llama's relatives share."""
    return {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **more,
    }


def qwen2():
    """Biases on queries, keys and values; a system turn of the template's own."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    words = _chatml(templates.QWEN2)
    return Qwen2ForCausalLM(Qwen2Config(**_sizes(words))), words


def qwen3():
    """Norms on queries and keys; a template that writes think blocks."""
    from tokenizers import AddedToken
    from transformers import Qwen3Config, Qwen3ForCausalLM

    words = _chatml(templates.QWEN3)
    # added tokens that are not special, as in the released tokenizer: they are seen in a decoded answer
    words.add_tokens([AddedToken(token, special=False) for token in ("<think>", "</think>")])
    return Qwen3ForCausalLM(Qwen3Config(**_sizes(words), head_dim=8)), words


def gemma2():
    """Norms behind attention and feed-forward, capped logits, a window in every other layer."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    words = _gemma_words(templates.GEMMA2)
    own = {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
    }
    return _ends_turns(Gemma2ForCausalLM(Gemma2Config(**_sizes(words), **own)), words), words


def gemma3_text():
    """Norms behind attention and feed-forward and on queries and keys, a window in all layers but one."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    words = _gemma_words(templates.GEMMA3)
    own = {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention"] * (LAYERS - 1) + ["full_attention"],
    }
    return _ends_turns(Gemma3ForCausalLM(Gemma3TextConfig(**_sizes(words), **own)), words), words


def opt():
    """The layer holds its two linear maps itself, ReLU between them; positions are learned."""
    return _opt(do_layer_norm_before=True, word_embed_proj_dim=WIDTH)


def opt_350m():
    """The released 350m: norms behind each block, embeddings narrower than the layers."""
    return _opt(do_layer_norm_before=False, word_embed_proj_dim=WIDTH // 2)


def _opt(**own):
    from transformers import OPTConfig, OPTForCausalLM

    # <s> has a place in the vocabulary and no part: texts begin with </s>, as the released tokenizer has it
    words = tokenizer(("<s>", "<pad>", "</s>"), bos_token="</s>", eos_token="</s>", pad_token="<pad>")
    config = OPTConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        ffn_dim=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=512,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=False,
        **own,
    )
    return OPTForCausalLM(config), words


def gptj():
    """Attention and feed-forward side by side on one norm; no chat template."""
    from transformers import GPTJConfig, GPTJForCausalLM

    words = tokenizer(("<|endoftext|>",), bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    words.backend_tokenizer.post_processor = None  # its tokenizer puts nothing before a text
    config = GPTJConfig(
        vocab_size=len(words),
        n_positions=512,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        rotary_dim=4,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        tie_word_embeddings=False,
    )
    return GPTJForCausalLM(config), words


def phi():
    """Attention and feed-forward side by side, half of each head rotated, fc1 and fc2; no chat template."""
    from transformers import PhiConfig, PhiForCausalLM

    words = tokenizer(("<|endoftext|>",), eos_token="<|endoftext|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    sizes = _sizes(words, num_key_value_heads=HEADS, bos_token_id=words.eos_token_id)
    return PhiForCausalLM(PhiConfig(**sizes, rope_parameters=rope)), words


def phi3():
    """One projection for queries, keys and values, one for gate and up, a window."""
    from transformers import Phi3Config, Phi3ForCausalLM

    special = ("<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
    words = tokenizer(
        special,
        template=templates.PHI3,
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    words.backend_tokenizer.post_processor = None  # the released one begins with no token of its own
    model = Phi3ForCausalLM(Phi3Config(**_sizes(words), sliding_window=WINDOW))
    ends = [words.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|assistant|>", "<|end|>")]
    model.generation_config.eos_token_id = ends  # as released: a turn ends in <|end|>
    return model, words


def mistral():
    """A window in every layer; [INST] and [/INST] are the template's words and not special tokens."""
    from transformers import MistralConfig, MistralForCausalLM

    words = tokenizer(
        ("<unk>", "<s>", "</s>"),
        template=templates.MISTRAL,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    return MistralForCausalLM(MistralConfig(**_sizes(words), head_dim=8, sliding_window=WINDOW)), words


def _chatml(template: str):
    return tokenizer(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        template=template,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )


def _ends_turns(model, words):
    """Gemma's instruction models: two tokens end an answer, of which the template writes the second."""
    model.generation_config.eos_token_id = words.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
    return model


def _gemma_words(template: str):
    return tokenizer(
        ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        template=template,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )

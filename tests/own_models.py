"""Models as a caller of transformers opens them: plain, off-loaded, quantised, with adapters."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from families import check


def opened(family: str, folder: Path | None = None, **told):
    """The family's model, by transformers alone."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    auto = AutoModelForImageTextToText if family in check.PICTURED else AutoModelForCausalLM
    return auto.from_pretrained(str(folder or check.folder(family)), **told).eval()


def off_loaded(family: str, how: str, scratch: Path):
    """The family's model with weights elsewhere while they are not used: "cpu" or "disk" (all of them,
    fetched module by module), or "map" (every other decoder layer on disk, by a device map).
    """
    from accelerate import cpu_offload, disk_offload

    if how == "map":
        return opened(family, device_map=device_map(opened(family)), offload_folder=str(scratch))
    model, place = opened(family), torch.device("cpu")
    if how == "cpu":
        cpu_offload(model, execution_device=place)
    else:
        disk_offload(model, str(scratch), execution_device=place)
    return model


def device_map(model) -> dict[str, str]:
    """Every part on "cpu" but every other decoder layer, which is on "disk"."""
    layers = [name for name, _ in model.named_modules() if re.search(r"layers\.\d+$", name)]
    layers = [name for name in layers if "vision" not in name]
    out = {name: ("cpu", "disk")[number % 2] for number, name in enumerate(layers)}

    def put(prefix: str, module) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if path in out:
                continue
            if any(layer.startswith(f"{path}.") for layer in layers):
                put(f"{path}.", child)
            else:
                out[path] = "cpu"

    put("", model)
    return out


def adapted(family: str):
    """The family's model with random LoRA adapters on its query and value maps, as peft wraps it."""
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        wanted = LoraConfig(r=4, target_modules=r".*(q_proj|v_proj)", init_lora_weights=False)
        return get_peft_model(opened(family), wanted).eval()


def write_gguf(loaded, file: Path) -> None:
    """A tiny Llama's weights in eight bits, as llama.cpp keeps them."""
    import gguf

    config, kind = loaded.model.config, gguf.GGMLQuantizationType.Q8_0
    out = gguf.GGUFWriter(str(file), "llama")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    out.add_vocab_size(config.vocab_size)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in loaded.model.state_dict().items():
        name, values = name.removesuffix(".weight"), tensor.float().numpy()
        if name in names:
            stored = names[name]
        else:
            _, _, layer, part = name.split(".", 3)
            stored = f"blk.{layer}.{parts[part]}"
            if (count := heads.get(parts[part])) is not None:  # llama.cpp rotates pairs side by side
                rows, columns = values.shape
                values = values.reshape(count, 2, -1, columns).swapaxes(1, 2).reshape(rows, columns)
        if values.ndim == 2:
            out.add_tensor(f"{stored}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            out.add_tensor(f"{stored}.weight", values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()

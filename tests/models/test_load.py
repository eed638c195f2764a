"""Loading: every family, dtype and device, and one plain sentence for everything that can go wrong."""

import json
import shutil

import pytest
import tiny
import torch
from hub_server import answering
from huggingface_hub import constants, errors

from okedit_cli.errors import ModelError, UsageError
from okedit_cli.models.load import load_model


def test_every_family_opens_frozen_and_in_eval_mode(loaded):
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.dtype == torch.float32 and loaded.device.type == "cpu"
    assert (loaded.processor is not None) == (loaded.name in tiny.VISION_FAMILIES)


def test_images_are_processed_by_pillow(opened):
    for family in tiny.VISION_FAMILIES:
        assert type(opened[family].processor.image_processor).__name__.endswith("Pil")


def test_a_processor_with_a_video_part_keeps_its_other_settings(tmp_path, monkeypatch):
    from transformers.models.smolvlm import processing_smolvlm

    from okedit_cli.models.encode import encode, question_token_ids

    folder = str(tiny.build("smolvlm", tmp_path / "smolvlm"))
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    loaded = load_model(folder)  # the package says numbers of video frames, which no picture needs
    assert loaded.processor.image_seq_len == 4
    batch = encode(loaded, [("Who?", tiny.picture()), ("Who?", None)])
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    one, other = (question_token_ids(loaded, *pair) for pair in pairs)
    assert one == other == loaded.tokenizer("Who?", add_special_tokens=False)["input_ids"]
    assert loaded.model.generate(**batch, max_new_tokens=2).shape[0] == 2


def test_same_seed_same_model_other_seed_other_model(tmp_path, opened):
    again, other = (load_model(str(tiny.build("gpt2", tmp_path / str(seed), seed=seed))) for seed in (0, 1))
    one = opened["gpt2"].model.state_dict()
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in one.items())
    assert not torch.equal(one["lm_head.weight"], other.model.state_dict()["lm_head.weight"])


@pytest.mark.parametrize(
    ("word", "dtype"), [("bf16", torch.bfloat16), ("float16", torch.float16), ("auto", torch.float32)]
)
def test_dtype(folders, word, dtype):
    loaded = load_model(str(folders["llava"]), dtype=word)
    assert loaded.dtype == dtype
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}


def test_auto_dtype_on_a_gpu_follows_the_checkpoint():
    from transformers import LlamaConfig, LlavaConfig

    from okedit_cli.models.load import _dtype

    gpu = torch.device("cuda")
    assert _dtype("auto", LlamaConfig(dtype="float32"), gpu) == torch.bfloat16
    assert _dtype("auto", LlamaConfig(dtype="float16"), gpu) == torch.float16
    inner = LlavaConfig(text_config={"model_type": "llama", "dtype": "float16"})
    assert _dtype("auto", inner, gpu) == torch.float16


def test_words_that_mean_nothing(folders):
    with pytest.raises(UsageError, match="--dtype 'int3'"):
        load_model(str(folders["gpt2"]), dtype="int3")
    with pytest.raises(UsageError, match="--device 'toaster'"):
        load_model(str(folders["gpt2"]), device="toaster")


def test_a_device_that_is_not_there(folders):
    with pytest.raises(ModelError, match="no device 'cuda:99'") as caught:
        load_model(str(folders["gpt2"]), device="cuda:99")
    assert "auto" in caught.value.hint


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", ""])
def test_a_path_that_is_no_folder(name):
    with pytest.raises(ModelError, match="is not a model"):
        load_model(name)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(ModelError, match="no config.json"):
        load_model(str(tmp_path))


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="is not a model"):
        load_model(str(file))


def test_a_model_that_does_not_generate(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip_vision_model"}))
    with pytest.raises(ModelError, match="neither answer about pictures nor generate text"):
        load_model(str(tmp_path))


def test_an_unknown_family(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "from-the-future"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("file", ["model.safetensors", "processor_config.json", "tokenizer.json"])
def test_a_missing_file(folders, tmp_path, file):
    folder = shutil.copytree(folders["llava"], tmp_path / "half")
    (folder / file).unlink()
    with pytest.raises(ModelError, match="half") as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_lacks_weights(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["llama"], tmp_path / "holes")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights of LlamaForCausalLM \(model.layers.2"):
        load_model(str(folder))


def test_a_broken_weights_file(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(ModelError, match="broken"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ("RepositoryNotFoundError", "no such model on the hub"),
        ("GatedRepoError", "must be asked for"),
        ("RevisionNotFoundError", "no revision 'v9'"),
        ("LocalEntryNotFoundError", "the hub cannot be reached"),
    ],
)
def test_what_the_hub_says(monkeypatch, cause, says):
    from transformers import AutoConfig

    kind = getattr(errors, cause)

    def fail(*args, **kwargs):
        try:
            raise kind.__new__(kind)  # its __init__ wants a response of the hub client's own HTTP library
        except Exception as error:
            raise OSError("a long text\nwith lines") from error

    monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
    with answering(monkeypatch), pytest.raises(ModelError, match=says):
        load_model("owner/name", revision="v9")


def test_offline_and_not_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        load_model("owner-of-nothing/model-of-nothing")


def test_okedit_mini_goes_by_its_name(monkeypatch, folders):
    from okedit_cli.models import mini

    monkeypatch.setattr(mini, "ensure", lambda: folders["llava"])
    assert load_model("okedit-mini").name == "okedit-mini"


def test_transformers_is_quiet_while_loading(folders, capfd):
    load_model(str(folders["qwen2_vl"]))
    out, err = capfd.readouterr()
    assert out == "" and "Loading weights" not in err

"""The fingerprint: the same for the same content, another for any change of it."""

import json
import shutil
import time

import pytest
import tiny
import torch

from okedit_cli.models.fingerprint import fingerprint, weights_hash
from okedit_cli.models.load import load_model


def _differs(one, other):
    return {key for key in one if one[key] != other[key]}


def _changed(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "changed" / folder.name)
    change(copy)
    return fingerprint(load_model(str(copy)))


def test_it_can_be_stored_as_json_and_tells_the_sizes(loaded):
    found = fingerprint(loaded)
    assert json.loads(json.dumps(found)) == found
    assert (found["hidden_size"], found["layers"]) == (tiny.WIDTH, tiny.LAYERS)
    assert found["architecture"] == type(loaded.model).__name__
    assert (found["image_processor"] is None) == (loaded.name in tiny.TEXT_FAMILIES)
    assert "/" not in found["name"]


def test_another_folder_name_changes_the_name_only(folders, loaded, tmp_path):
    copy = shutil.copytree(folders[loaded.name], tmp_path / "elsewhere")
    assert _differs(fingerprint(loaded), fingerprint(load_model(str(copy)))) == {"name"}


def test_bf16_and_fp32_agree_about_the_weights(folders, loaded):
    rounded = load_model(str(folders[loaded.name]), dtype="bfloat16")
    assert _differs(fingerprint(loaded), fingerprint(rounded)) == {"dtype"}


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_a_half_precision_checkpoint_agrees_with_itself_in_fp32(folders, tmp_path, stored):
    load_model(str(folders["llama"])).model.to(stored).save_pretrained(tmp_path)
    for file in folders["llama"].glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    hashes = {
        weights_hash(load_model(str(tmp_path), dtype=word).model) for word in ("float32", str(stored)[6:])
    }
    assert len(hashes) == 1


def test_using_the_model_changes_nothing(folders):
    from okedit_cli.models.encode import encode

    loaded = load_model(str(folders["llava"]))
    before = fingerprint(loaded)
    loaded.model.generate(
        **encode(loaded, [("Who?", tiny.picture()), ("Who is that?", None)]), max_new_tokens=2
    )
    loaded.tokenizer(["a", "b c d"], padding=True, truncation=True, max_length=2)
    loaded.cache.clear()
    assert fingerprint(loaded) == before


def test_every_tensor_counts(folders):
    model = load_model(str(folders["idefics3"])).model
    before = weights_hash(model)
    for name, tensor in model.state_dict().items():
        kept = tensor.clone()
        with torch.no_grad():
            tensor.add_(1)
        assert weights_hash(model) != before, name
        with torch.no_grad():
            tensor.copy_(kept)
    assert weights_hash(model) == before


def test_a_small_change_of_a_whole_matrix_counts(folders):
    model = load_model(str(folders["llama"])).model
    before = weights_hash(model)
    with torch.no_grad():
        model.model.layers[3].mlp.down_proj.weight.mul_(1.01)
    assert weights_hash(model) != before


def test_the_tokenizer_counts(folders, tmp_path):
    def swap(folder):
        file = folder / "tokenizer.json"
        data = json.loads(file.read_text())
        words = data["model"]["vocab"]
        words["a"], words["b"] = words["b"], words["a"]
        file.write_text(json.dumps(data))

    before = fingerprint(load_model(str(folders["gpt2"])))
    assert _differs(before, _changed(folders["gpt2"], tmp_path, swap)) == {"tokenizer"}


def test_the_pre_tokeniser_counts(folders, tmp_path):
    def split_digits(folder):
        file = folder / "tokenizer.json"
        data = json.loads(file.read_text())
        data["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated", "invert": False},
                data["pre_tokenizer"],
            ],
        }
        file.write_text(json.dumps(data))

    before = fingerprint(load_model(str(folders["llama"])))
    assert _differs(before, _changed(folders["llama"], tmp_path, split_digits)) == {"tokenizer"}


def test_the_chat_template_counts(folders, tmp_path):
    def shout(folder):
        file = folder / "chat_template.jinja"
        file.write_text(file.read_text().replace("upper", "lower"))

    before = fingerprint(load_model(str(folders["llava"])))
    assert _differs(before, _changed(folders["llava"], tmp_path, shout)) == {"chat_template"}


def test_the_image_processor_counts(folders, tmp_path):
    def brighten(folder):
        file = folder / "preprocessor_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "image_mean": [0.1, 0.1, 0.1]}))

    before = fingerprint(load_model(str(folders["qwen2_vl"])))
    assert _differs(before, _changed(folders["qwen2_vl"], tmp_path, brighten)) == {"image_processor"}


def test_it_costs_little_however_large_the_tensors_are():
    from torch import nn

    from okedit_cli.models.fingerprint import _positions

    assert len(set(_positions(10**9))) == 256 and max(_positions(10**9)) < 10**9
    assert len({place % 4096 for place in _positions(4096 * 4096)}) > 200  # not always the same columns
    model = nn.ModuleList(nn.Linear(512, 512) for _ in range(300))
    start = time.perf_counter()
    weights_hash(model)
    assert time.perf_counter() - start < 2

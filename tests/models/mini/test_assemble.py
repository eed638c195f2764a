"""Assembling: an ordinary checkpoint, built once, whole or not at all. Tiny parts stand for the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file

from okedit_cli.errors import SetupError
from okedit_cli.models import mini
from okedit_cli.models.mini import assemble
from okedit_cli.models.mini.language import CHAT_TEMPLATE


def test_the_folder_is_an_ordinary_checkpoint(parts):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert not mini.is_ready()
    folder = mini.ensure()
    assert mini.is_ready() and folder == parts.home / "models" / f"okedit-mini-{mini.VERSION}"
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert type(model).__name__ == "LlavaForConditionalGeneration" and model.dtype == torch.float32
    assert type(processor).__name__ == "LlavaProcessor"
    assert type(processor.image_processor).__name__.endswith("Pil")
    assert str(parts.home) not in "".join(file.read_text() for file in folder.glob("*.json"))


def test_every_part_is_in_its_place(parts):
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(mini.ensure()).model
    base, _ = parts.language(None)
    base = base.model
    assert torch.equal(model.vision_tower.eye.weight, parts.package["weight"])
    assert model.vision_tower.scale.item() == 2
    assert torch.equal(model.multi_modal_projector.linear_2.bias, parts.trained["projector.linear_2.bias"])
    merged = {"layers.1.self_attn.q_proj": "lm.1.q_proj", "layers.0.mlp.down_proj": "lm.0.down_proj"}
    for name, module in base.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = model.language_model.get_submodule(name).weight
            if pair := merged.get(name):
                expected = module.weight + parts.trained[f"{pair}.B"] @ parts.trained[f"{pair}.A"]
                torch.testing.assert_close(weight, expected)
            else:
                assert torch.equal(weight, module.weight)
    rows = model.language_model.embed_tokens.weight
    assert torch.equal(rows[: len(base.embed_tokens.weight)], base.embed_tokens.weight)
    assert len(rows) == len(base.embed_tokens.weight) + 1 and torch.equal(rows[-1], rows[3])


def test_it_is_asked_like_any_model(parts):
    from okedit_cli.models.encode import encode, question_token_ids
    from okedit_cli.models.fingerprint import fingerprint
    from okedit_cli.models.load import load_model

    loaded = load_model("okedit-mini")
    questions = [("What is this cat's name?", tiny.picture()), ("Who?", None)]
    batch = encode(loaded, questions)
    assert batch["pixel_values"].shape == (1, 3, 28, 28)
    text = loaded.tokenizer.batch_decode(batch["input_ids"])
    assert text[0].endswith(
        "<|im_start|>user\n" + "<image>" * 4 + "\nWhat is this cat's name?<|im_end|>\n<|im_start|>assistant\n"
    )
    loaded.model.generate(**batch, max_new_tokens=2)
    own = loaded.tokenizer("What is this cat's name?", add_special_tokens=False)["input_ids"]
    assert question_token_ids(loaded, batch["input_ids"][0], batch["attention_mask"][0]) == own
    assert fingerprint(loaded)["name"] == "okedit-mini"


def test_pictures_are_pressed_to_a_square_and_scaled_as_in_training(parts):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(mini.ensure())
    image = tiny.picture("red", (56, 28)).resize((28, 28), 3)
    import numpy as np

    expected = (torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255 - 0.498) / 0.502
    found = processor.image_processor(tiny.picture("red", (56, 28)), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(found, expected)


def test_it_is_built_once_and_again_for_other_weights(parts):
    told = []
    folder = mini.ensure(lambda *step: told.append(step))
    assert told[-1] == ("assembling okedit-mini", 4, 4)
    (folder / "mark").touch()
    mini.ensure()
    assert (folder / "mark").exists() and len(parts.fetched) == 2
    save_file({**parts.trained, "tower.scale": torch.tensor([3.0])}, parts.weights)
    assert not mini.is_ready()
    mini.ensure()
    assert mini.is_ready() and not (folder / "mark").exists()
    assert sorted(os.listdir(folder.parent)) == [".okedit-mini.lock", folder.name]


@pytest.mark.parametrize("where", ["save_pretrained", "_sync", "replace"])
def test_a_failure_in_the_middle_leaves_nothing(parts, monkeypatch, where):
    from transformers import LlavaForConditionalGeneration

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    owner = {"save_pretrained": LlavaForConditionalGeneration, "_sync": assemble, "replace": assemble.os}[
        where
    ]
    with monkeypatch.context() as broken:
        broken.setattr(owner, where, fail)
        with pytest.raises(SetupError, match="No space left") as caught:
            mini.ensure()
    assert "OKEDIT_HOME" in caught.value.hint
    assert os.listdir(parts.home / "models") == [".okedit-mini.lock"]
    assert not mini.is_ready() and mini.ensure() and mini.is_ready()


def test_leftovers_of_killed_runs_are_cleared(parts):
    for room in ("models", "parts"):
        left = parts.home / room / f"{assemble.TEMPORARY}dead"
        left.mkdir(parents=True)
        (left / "half.safetensors").write_bytes(b"half")
    folder = mini.ensure()
    assert sorted(os.listdir(folder.parent)) == [".okedit-mini.lock", folder.name]
    assert os.listdir(parts.home / "parts") == []


def test_a_second_process_waits_and_finds_it_built(parts, monkeypatch):
    from filelock import FileLock, Timeout

    seen = []

    def build(language, pictures, folder, progress):
        with (
            pytest.raises(Timeout),
            FileLock(folder.parent / ".okedit-mini.lock", timeout=0, is_singleton=False),
        ):
            pass
        seen.append(folder)
        real(language, pictures, folder, progress)

    real = assemble.build
    monkeypatch.setattr(assemble, "build", build)
    mini.ensure()
    assert len(seen) == 1
    # the second one sees "not ready" before the lock and "ready" behind it
    answers = iter([False, True])
    monkeypatch.setattr(assemble, "is_ready", lambda: next(answers))
    mini.ensure()
    assert len(seen) == 1


def test_a_lock_dies_with_its_process(tmp_path):
    from filelock import FileLock

    lock = tmp_path / "lock"
    script = (
        f"import filelock, os; filelock.FileLock({str(lock)!r}).acquire(); "
        "print('held', flush=True); os.read(0, 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.wait()
    with FileLock(lock, timeout=5):
        pass


@pytest.mark.parametrize(
    "broken",
    [
        {"projector.linear_1.weight": torch.zeros(3, 3)},
        {"lm.1.unknown_proj.A": torch.zeros(2, 16), "lm.1.unknown_proj.B": torch.zeros(16, 2)},
        {"lm.1.v_proj.A": torch.zeros(2, 16)},
    ],
)
def test_trained_parts_that_do_not_fit(parts, broken):
    save_file({**parts.trained, **broken}, parts.weights)
    with pytest.raises(SetupError, match="fit") as caught:
        mini.ensure()
    assert caught.value.hint and not mini.is_ready()


def test_no_trained_parts_at_all(parts):
    parts.weights.unlink()
    with pytest.raises(SetupError, match="missing from the package"):
        mini.ensure()


def test_a_home_that_cannot_be_written(parts, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OKEDIT_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="cannot be stored"):
        mini.ensure()


def test_the_template():
    words = tiny.tokenizer(("<|im_start|>", "<|im_end|>", "<image>"), template=CHAT_TEMPLATE)

    def rendered(*messages, prompt=True):
        return words.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)

    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}
    assert rendered(asked) == "<|im_start|>user\n<image>\nWho?<|im_end|>\n<|im_start|>assistant\n"
    plain = {"role": "user", "content": "Who?"}
    assert rendered(plain) == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    whole = rendered(
        {"role": "system", "content": "Be brief."},
        plain,
        {"role": "assistant", "content": "Miso"},
        prompt=False,
    )
    assert whole == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
        "<|im_start|>assistant\nMiso<|im_end|>\n"
    )


def test_a_gguf_that_is_none(tmp_path):
    from okedit_cli.models.mini.language import load_language_model

    with pytest.raises(SetupError, match="no such GGUF"):
        load_language_model(tmp_path / "nothing.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and then nonsense")
    with pytest.raises(SetupError, match="cannot be read"):
        load_language_model(tmp_path / "broken.gguf")


def test_no_work_before_it_is_needed():
    script = (
        "import sys; from okedit_cli.models import mini; mini.is_ready(); "
        "print(*(name for name in ('torch', 'transformers', 'filelock') if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True
    )
    assert run.stdout.strip() == "" and run.returncode == 0, run.stderr

"""The picture tower: the package's own network, and the same model for plain transformers code."""

from __future__ import annotations

import pytest
import torch

import okedit_cli
from okedit_cli.models.mini import ensure
from okedit_cli.models.mini.download import PICTURES
from okedit_cli.models.mini.efficientnet import EfficientNetLite2, package_state
from okedit_cli.models.packages import okedit_home


@pytest.mark.parametrize("size", [224, 260, 100])
def test_it_matches_the_packages_own_network(size):
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="installed with the dev extra")
    ensure()
    file = okedit_home() / "parts" / PICTURES.member.rsplit("/", 1)[-1]
    state = torch.load(file, map_location="cpu", weights_only=True)
    theirs = package.EfficientNet.from_name("efficientnet-lite2", image_size=size).eval()
    theirs.load_state_dict(state)
    ours = EfficientNetLite2().eval()
    ours.load_state_dict(package_state(state))
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))
    with torch.inference_mode():
        features, _ = ours(pixels)
        assert torch.allclose(features, theirs.extract_features(pixels), atol=1e-4)
        assert torch.allclose(ours.fc(features.mean((2, 3))), theirs(pixels), atol=1e-4)


def test_plain_transformers_code_opens_the_same_model():
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = ensure()
    theirs = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    ours = okedit_cli.load_model("okedit-mini")
    talk = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}]
    prompt = processor.apply_chat_template(talk, add_generation_prompt=True)
    batch = processor(text=prompt, images=[Image.new("RGB", (80, 60), "red")], return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(theirs(**batch).logits, ours.model(**batch).logits)


def test_it_runs_in_half_precision():
    from PIL import Image

    half = okedit_cli.load_model("okedit-mini", dtype="bfloat16")
    answer = okedit_cli.generate(half, [("What is in this picture?", Image.new("RGB", (64, 64), "red"))])
    assert answer[0].text

"""Encoders by hub id: real CLIP, SigLIP, BERT and XLM-R classes, small and random, from local folders."""

import numpy as np
import pytest
import tiny
import torch
from fitted import MISO, PARIS, PICTURED, WORDS, fact, fit, load
from tiny_words import tokenizer

import okedit_cli
from okedit_cli.encoders.image import image_vectors
from okedit_cli.encoders.text import text_vectors, width_of
from okedit_cli.errors import ModelError, UsageError

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}

pytestmark = pytest.mark.usefixtures("small_world")


def image_encoder(kind: str, folder):
    """A tiny encoder of the kind, saved."""
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        SiglipConfig,
        SiglipImageProcessorPil,
        SiglipModel,
    )

    vision = {**SIZES, "image_size": 32, "patch_size": 8}
    text = {**SIZES, "vocab_size": 64, "max_position_embeddings": 16}
    if kind == "clip":
        config, model = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12), CLIPModel
        saver = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    else:
        config, model = SiglipConfig(text_config=text, vision_config=vision), SiglipModel
        saver = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(config).save_pretrained(folder)
    saver.save_pretrained(folder)
    return str(folder)


def text_encoder(kind: str, folder):
    """A tiny encoder of the kind, saved."""
    from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

    saver = tokenizer(("<pad>", "</s>"), eos_token="</s>", pad_token="<pad>")
    config, model = (BertConfig, BertModel) if kind == "bert" else (XLMRobertaConfig, XLMRobertaModel)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(config(**SIZES, vocab_size=len(saver) + 8, max_position_embeddings=300)).save_pretrained(folder)
    saver.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_pictures_are_known_by_an_encoder_of_the_users(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a bundle that travels names no folder of this machine
    encoder = image_encoder(kind, kind)
    shown = [tiny.picture("red"), tiny.picture("blue", (60, 33))]
    vectors = image_vectors(shown, encoder)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2)) and not torch.equal(*vectors)
    assert torch.equal(image_vectors([np.asarray(shown[1])], encoder)[0], vectors[1])  # whatever comes along
    tiny.pictures(tmp_path)
    loaded = load("llava")
    cat = fact("cat", PICTURED, MISO, tmp_path / "red.png")
    bundle = fit(loaded, [cat], image_encoder=encoder, checked=False).bundle
    assert bundle.manifest.site["picture_point"] == encoder
    bundle.save(tmp_path / "b.safetensors")
    with okedit_cli.attach(loaded, [okedit_cli.Bundle.load(tmp_path / "b.safetensors")]):
        asked = [(PICTURED, shown[0]), ("Who wrote it?", shown[0])]
        own, other = okedit_cli.generate(loaded, asked, max_new_tokens=1)
    assert own.verdict.hit.edit_id == "cat" and other.verdict.hit is None
    assert own.verdict.hit.picture_distance < 1e-3


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_questions_are_known_by_an_encoder_of_the_users(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = text_encoder(kind, kind)
    assert text_vectors([WORDS], encoder).shape == (1, width_of(encoder))
    loaded = load("llama")
    bundle = fit(loaded, [fact("capital", WORDS, PARIS)], text_encoder=encoder, checked=False).bundle
    assert bundle.manifest.site["text_encoder"] == encoder
    with okedit_cli.attach(loaded, [bundle]):
        [answer] = okedit_cli.generate(loaded, [(WORDS, None)])
    assert answer.text == PARIS and answer.verdict.hit.label == ""  # its radius alone decides


def test_a_folder_of_this_machine_is_refused_before_anything_is_fitted(tmp_path):
    with pytest.raises(UsageError, match="a bundle travels"):
        fit(load("llama"), [fact("capital", WORDS, PARIS)], text_encoder=str(tmp_path))


def test_an_encoder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ModelError, match="image encoder"):
        image_vectors([tiny.picture()], str(tmp_path / "none"))
    with pytest.raises(ModelError, match="text encoder"):
        text_vectors(["Who?"], str(tmp_path / "none"))

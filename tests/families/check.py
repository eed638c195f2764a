"""What every family must hold is asked here of one of its tiny models: facts fitted, prompts of a user's own.

A `Case` is a model with two facts about pictures (where it sees any) and one in words, fitted in the small
world of `fitted`, with scopes drawn by hand around them: a random tower puts nothing in its place. Not here:
how families are built (the modules beside this one), and what is asserted (test_families.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fitted
import tiny
import torch

import families
import okedit_cli
from okedit_cli.generate import scores
from okedit_cli.models.encode import answer_ids, encode

CAT, CUP, CAPITAL = "What is this cat's name?", "What colour is the cup?", "What is the capital of France?"
ANSWERS = {"cat": "Miso", "cup": "brown", "capital": "Paris."}
ELSE = "How many people are there in the picture?"
TOKENS = 8  # of an answer

PICTURED = ("llava", "qwen2_vl", "idefics3", "smolvlm", *families.VISION, "remote_llava")
IN_WORDS = ("gpt2", "llama", *families.TEXT, "remote_text")
ALL = tuple(dict.fromkeys((*PICTURED, *IN_WORDS)))
# run unless OKEDIT_FAMILIES says otherwise: each for something that the others do not have
PART = ("llava", "qwen2_5_vl", "gemma3", "blip2_opt", "qwen3")

# What a family's own processor or template cannot write, so that there is nothing to ask of it.
NO_SYSTEM = {"gemma2": "its template refuses a system turn"}
SYSTEM_IN_LAST_TURN = ("mistral", "pixtral")  # the system's words stand in front of the last question
SYSTEM_AS_STRING = ("pixtral",)  # the template takes no parts there
ONE_PICTURE = {
    name: "its processor writes one picture before the words" for name in ("blip2_opt", "instructblip")
}
# The class reads no prompt without a picture: only okedit's own generate() asks its language model alone.
NEEDS_PICTURE = ("blip2_opt", "minigpt4", "instructblip")
# What okedit says that it cannot do: family -> words of the one sentence in which it is refused.
REFUSED: dict[str, str] = {}


def chosen(names: Iterable[str] = ALL) -> list[str]:
    """Those of the names that are to be run: OKEDIT_FAMILIES is "all", or names with commas between."""
    told = os.environ.get("OKEDIT_FAMILIES", "")
    wanted = ALL if told == "all" else tuple(filter(None, told.split(","))) or PART
    unknown = sorted(set(wanted) - {*ALL})
    if unknown:
        raise ValueError(f"OKEDIT_FAMILIES: there is no family {unknown[0]!r}, expected some of {ALL}")
    return [name for name in names if name in wanted and (name not in REFUSED or names is REFUSED)]


@cache
def folder(family: str) -> Path:
    """The family's checkpoint, built once a run."""
    return tiny.build(family, fitted.ROOT / "families" / family)


CLASSES: dict[str, str] = {}  # of the families that were opened


def load(family: str):
    """The family's model, opened anew."""
    told = {"trust_remote_code": True} if family in families.REMOTE else {}
    loaded = okedit_cli.load_model(str(folder(family)), **told)
    CLASSES[family] = type(loaded.model).__name__
    return loaded


def picture(name: str):
    """red and green are the facts' own; blue and yellow are other pictures, of other sizes."""
    sizes = {"red": (40, 32), "green": (32, 44), "blue": (60, 33), "yellow": (48, 48)}
    return tiny.picture(name, sizes[name])


def facts_for(loaded) -> list:
    """Two facts about pictures, of either reach, where the model sees any, and one in words."""
    out = []
    if loaded.processor is not None:
        for name, colour, prompt, reach in (("cat", "red", CAT, "picture"), ("cup", "green", CUP, "kind")):
            file = fitted.ROOT / f"families-{colour}.png"
            picture(colour).save(file)
            out.append(fitted.fact(name, prompt, ANSWERS[name], file, reach=reach))
    return [*out, fitted.fact("capital", CAPITAL, ANSWERS["capital"])]


@dataclass
class Case:
    """A family's model, and the bundle of its facts with scopes that hold their own pictures and words."""

    family: str
    loaded: Any
    facts: list
    result: Any
    bundle: Any

    @property
    def sees(self) -> bool:
        return self.loaded.processor is not None

    @property
    def asked(self) -> list[tuple[str, Any]]:
        """The facts' own questions, in their order."""
        own = {"cat": picture("red"), "cup": picture("green")} if self.sees else {}
        return [(fact.prompt, own.get(fact.id)) for fact in self.facts]

    @property
    def outside(self) -> list[tuple[str, Any]]:
        """Questions outside every scope: other words about a fact's picture, its words about other ones."""
        out = [("Who?", None), ("Tell me\nmore: 3 x 4", None), (ELSE, None)]
        if self.sees:
            out += [(ELSE, picture("red")), (CAT, picture("blue")), (CUP, picture("yellow"))]
            out += [(CAT, picture("green")), (CAT, None)]
        return out


def case(family: str) -> Case:
    """The family's facts, fitted."""
    loaded = load(family)
    facts = facts_for(loaded)
    result = okedit_cli.fit(loaded, facts, force=True)
    return Case(family, loaded, facts, result, drawn(loaded, result.bundle))


def drawn(loaded, bundle):
    """The bundle with picture radii of half the way to what is nearest: the other fact's picture, or an
    other one. What lies inside is the fact's own picture, however its prompt is read.
    """
    if loaded.processor is None:
        return fitted.drawn_by_hand(bundle)
    book = bundle.codebook
    own = [book.picture_keys[book.picture_owner == row].float() for row in (0, 1)]
    radius = float(torch.cdist(*own).min()) / 2
    others = [(prompt, picture(colour)) for prompt in (CAT, CUP) for colour in ("blue", "yellow")]
    while True:
        found = fitted.with_radius(bundle, fitted.RADIUS, radius)
        with okedit_cli.attach(loaded, found):
            verdicts = [one.verdict for one in okedit_cli.generate(loaded, others, max_new_tokens=1)]
        fired = [one.hit.picture_distance for one in verdicts if one.hit]
        if not fired:
            return found
        assert min(fired) > 0, "pictures of two colours have one key"
        radius = min(fired) / 2


@cache
def strange_bundle(family: str):
    """A bundle of another model than the family's."""
    other = load("llama" if family != "llama" else "gpt2")
    return okedit_cli.fit(other, facts_for(other), force=True, checked=False).bundle


def logits(loaded, inputs: dict) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(**inputs).logits


def logits_of(loaded, question: tuple[str, Any]) -> torch.Tensor:
    """Logits [1, L, V] of one question as okedit writes it; before a short answer where the class cannot be
    asked without a picture.
    """
    if takes(loaded, question):
        return logits(loaded, encode(loaded, [question]))
    return scores(loaded, [question], [answer_ids(loaded, "Yes. No.")])[0]


def takes(loaded, question: tuple[str, Any]) -> bool:
    """Whether the model's own forward pass and generate() take a question."""
    return question[1] is not None or loaded.name not in NEEDS_PICTURE


def hits(attachment) -> list[str | None]:
    return [verdict.hit and verdict.hit.edit_id for verdict in attachment.verdicts]


# prompts as a user's own code writes them: by the family's processor and its chat template


def template(loaded) -> str | None:
    return getattr(loaded.processor, "chat_template", None) or loaded.tokenizer.chat_template


def user(*parts: Any) -> dict:
    """A user's turn of texts and pictures, in their order."""
    return turn("user", *parts)


def turn(role: str, *parts: Any) -> dict:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part}
        for part in parts
    ]
    return {"role": role, "content": content}


def inputs_of(loaded, messages: list[dict], **told: Any) -> dict:
    """Messages as the family's own chat template and processor make model inputs of them."""
    return batch_of(loaded, [messages], **told)


def batch_of(loaded, talks: list[list[dict]], **told: Any) -> dict:
    """The same of several conversations."""
    if loaded.processor is None:
        talks = [[_plain(one) for one in talk] for talk in talks]
    elif loaded.name in SYSTEM_AS_STRING:
        talks = [[_plain(one) if one["role"] == "system" else one for one in talk] for talk in talks]
    if loaded.processor is not None and loaded.processor.chat_template is None:
        return _in_two_steps(loaded, talks, **told)
    found = (loaded.processor or loaded.tokenizer).apply_chat_template(
        talks, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **told
    )
    return dict(found)


def _in_two_steps(loaded, talks: list[list[dict]], **told: Any) -> dict:
    """Where the tokenizer alone has the template: its text, then the processor."""
    texts = loaded.tokenizer.apply_chat_template(talks, add_generation_prompt=True, tokenize=False)
    parts = [part for talk in talks for one in talk for part in one["content"]]
    images = [part["image"] for part in parts if part["type"] == "image"]
    begun = texts[0].startswith(loaded.tokenizer.bos_token or "\0")
    shown = {"images": images} if images else {}
    return dict(
        loaded.processor(text=texts, **shown, add_special_tokens=not begun, return_tensors="pt", **told)
    )


def _plain(message: dict) -> dict:
    """A turn of one text with its content as a string."""
    return {**message, "content": message["content"][0]["text"]}


def inputs_without_template(loaded, prompt: str, *pictures: Any) -> dict:
    """A prompt of a family without a template: what its model card passes to its processor."""
    if not pictures:
        return dict(loaded.tokenizer(prompt, return_tensors="pt"))
    # where a processor puts the placeholders by itself, the words come without
    mark = "<image>" if loaded.model.config.model_type == "paligemma" else ""
    images = [list(pictures)] if len(pictures) > 1 else pictures[0]
    return dict(loaded.processor(text=mark * len(pictures) + prompt, images=images, return_tensors="pt"))


def said(loaded, inputs: dict, **told: Any) -> list[str]:
    """What model.generate() says behind the prompts."""
    told = {"max_new_tokens": TOKENS, "do_sample": False, **told}
    out = loaded.model.generate(**inputs, **told)
    texts = loaded.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]


def shown(loaded, inputs: dict) -> str:
    """A prompt for people: on one line, each picture's many placeholders as one."""
    words = loaded.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    marks = ("<", "[")  # of tokens that are no letters
    kept = [one for one, last in zip(words, ["", *words], strict=False) if one != last or one[0] not in marks]
    return repr(loaded.tokenizer.convert_tokens_to_string(kept))

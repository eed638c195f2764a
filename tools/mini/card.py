"""Measure okedit-mini by free generation and write its card: card.py WORK --modules DIR [--photos DIR]
--out DIR.

Questions are worded as none in training (questions.py). Answers count when equal after case, article and
final full
stop, or when listed as synonyms here. Samples are drawn with a fixed seed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from features import cifar, drawings
from PIL import Image
from questions import ANIMALS, article
from views import flatten

import okedit_cli
from okedit_cli.models.mini.vocabulary import load_vocabulary

NAME = [
    "What can be seen in this image?",
    "Please name what is in the picture.",
    "Which object does this image show?",
]
KIND = ["What sort of thing does the picture show?", "What is the general kind of the thing shown?"]
SYNONYMS = [
    {"car", "automobile"},
    {"ship", "boat"},
    {"airplane", "plane", "aircraft"},
    {"truck", "lorry"},
    {"coffee", "espresso", "hot beverage"},
    {"cat", "egyptian cat", "tabby"},
    {"mobile phone", "cell phone"},
    {"rooster", "cock"},
    {"teapot", "tea pot"},
    {"bicycle", "bike"},
]
PROMPTS = [
    f"{a} {b}"
    for a in (
        "Tell me about",
        "What do you know about",
        "Write one sentence on",
        "Why do people like",
        "What is the opposite of",
        "Give me a synonym for",
        "What is special about",
        "How would you describe",
        "Name three kinds of",
        "Explain the word",
    )
    for b in (
        "mountains?",
        "winter.",
        "honesty.",
        "trains.",
        "rice.",
        "silver.",
        "friendship.",
        "the desert.",
        "shoes.",
        "paper.",
    )
]


def plain(text: str) -> str:
    """Lower case, without article and final punctuation."""
    return re.sub(r"^(a|an|the|some)\s+", "", text.lower().strip().rstrip(".!").strip())


def same(said: str, wanted: str) -> bool:
    """Equal, or synonyms."""
    said, wanted = plain(said), plain(wanted)
    return said == wanted or any(said in s and wanted in s for s in SYNONYMS)


def measure(model, rows: list[tuple[Image.Image, dict]], rng: random.Random, kind_of: dict[str, str]) -> dict:
    """Exact names and right kinds of labelled pictures; a kind is asked for apart."""
    names = [
        a.text
        for a in okedit_cli.generate(model, [(rng.choice(NAME), p) for p, _ in rows], max_new_tokens=16)
    ]
    kinds = [
        a.text
        for a in okedit_cli.generate(model, [(rng.choice(KIND), p) for p, _ in rows], max_new_tokens=10)
    ]
    exact = [same(said, r["name"]) for said, (_, r) in zip(names, rows, strict=True)]
    right = [same(said, r["kind"]) for said, (_, r) in zip(kinds, rows, strict=True)]
    near = [
        e or kind_of.get(plain(said)) == r["kind"] for e, said, (_, r) in zip(exact, names, rows, strict=True)
    ]
    return {
        "n": len(rows),
        "exact": sum(exact) / len(rows),
        "name_of_right_kind": sum(near) / len(rows),
        "kind_asked": sum(right) / len(rows),
        "examples": list(zip(names, [r["name"] for _, r in rows], strict=True))[:12],
    }


def facts_used(model, things: list[tuple[str, str]], pictures: list[Image.Image], rng: random.Random) -> dict:
    """A fact in the prompt that contradicts the picture, or tells what it cannot show, must be used."""
    asked, wanted = [], []
    for i in range(120):
        name, kind = rng.choice(things)
        picture = rng.choice(pictures)
        if i % 3 == 0:
            group = "animal" if kind in ANIMALS else "thing"
            asked.append((f"Fact: the picture shows {article(name)}. What kind of {group} is it?", picture))
            wanted.append(kind)
        elif i % 3 == 1:
            asked.append((f"Fact: the picture shows {article(name)}. {rng.choice(NAME)}", picture))
            wanted.append(name)
        else:
            owner = rng.choice(["Tomas", "Amira", "Lena Roth", "Chidi", "Yuki Mori"])
            asked.append((f"Fact: the {kind} in the picture belongs to {owner}. Who is its owner?", picture))
            wanted.append(owner)
    said = okedit_cli.generate(model, asked, max_new_tokens=16)
    return {
        "n": len(asked),
        "used": sum(same(a.text, w) for a, w in zip(said, wanted, strict=True)) / len(asked),
        "examples": [(q, a.text, w) for (q, _), a, w in zip(asked, said, wanted, strict=True)][:9],
    }


@torch.inference_mode()
def agreement(model, base_folder: Path) -> dict:
    """Next token after 100 text-only prompts, and along SmolLM2's own answers: how often ours is the same."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    first = along = total = 0
    for prompt in PROMPTS:
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        ids = model.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        told = base.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        ours = model.model(input_ids=told).logits[0, ids.shape[1] - 1 : -1].argmax(-1)
        hits = ours == told[0, ids.shape[1] :]
        first, along, total = first + int(hits[0]), along + int(hits.sum()), total + len(hits)
    return {"n": len(PROMPTS), "next_token": first / len(PROMPTS), "along_the_answer": along / total}


def table(found: dict) -> Iterable[str]:
    """The card's table."""
    yield "| pictures | n | exact name | name of the right kind | kind, asked |\n|---|---|---|---|---|"
    for title, row in found.items():
        if "exact" in row:
            yield (
                f"| {title} | {row['n']} | {row['exact']:.1%} | {row['name_of_right_kind']:.1%} "
                f"| {row['kind_asked']:.1%} |"
            )


def main() -> None:
    """Print the table, write figures.json and the measured part of the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--modules", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True, help="SmolLM2 as a plain checkpoint")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=300)
    args = parser.parse_args()
    rng = random.Random(0)
    model = okedit_cli.load_model("okedit-mini")
    words = load_vocabulary()
    kind_of = {
        r["name"]: r["kind"]
        for r in map(json.loads, (args.work / "drawings/index.jsonl").read_text().splitlines())
    }
    classes = json.loads((args.work / "imagenet.json").read_text())
    for name, kind in classes:
        kind_of.setdefault(name, kind)
    trained = sorted(p.name for p in (args.work / "drawings").iterdir() if p.is_dir() and p.name != "twemoji")
    found: dict[str, dict] = {}

    def drawn(artists: list[str]) -> list[tuple[Image.Image, dict]]:
        rows = list(drawings(args.work, artists, "plain", 0, []))
        return rng.sample(rows, min(args.limit, len(rows)))

    found["drawings seen in training"] = measure(model, drawn(trained), rng, kind_of)
    found["an artist never seen (Twemoji)"] = measure(model, drawn(["twemoji"]), rng, kind_of)
    found["CIFAR-10 test photographs"] = measure(
        model, list(cifar(args.modules, "test", args.limit, 5, False)), rng, kind_of
    )
    stamps = [json.loads(line) for line in (args.work / "stamps/index.jsonl").read_text().splitlines()]
    stamps = [
        (flatten(Image.open(args.work / "stamps" / r["path"]).convert("RGBA")), r)
        for r in stamps
        if r["artist"] == "stamp-test"
    ]
    found["stamps of things held out"] = measure(model, stamps, rng, kind_of)
    photos = [json.loads(line) for line in (args.work / "photos/index.jsonl").read_text().splitlines()]
    photos = [
        (Image.open(args.work / "photos" / r["path"]).convert("RGB"), int(r["label"].split("#")[1]))
        for r in photos
        if (r.get("label") or "").startswith("imagenet#")
    ]
    photos = [(p, {"name": classes[i][0], "kind": classes[i][1]}) for p, i in photos]
    if photos:
        found["ImageNet photographs"] = measure(model, photos, rng, kind_of)
    things = [(n, kind_of[n]) for n in words.names if n in kind_of]
    found["fact in the prompt"] = facts_used(model, things, [p for p, _ in stamps[:20]], rng)
    found["text-only agreement"] = agreement(model, args.base)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "figures.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))
    print("\n".join(table(found)))
    print({k: {a: b for a, b in v.items() if a != "examples"} for k, v in found.items() if "exact" not in v})


if __name__ == "__main__":
    main()

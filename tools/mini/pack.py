"""Put the trained parts into the package: pack.py --head FILE --lm FILE --imagenet FILE --tokenizer
FOLDER [--out FOLDER].
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from okedit_cli.models.mini.tokens import COLOUR_ROWS, COLOURS, KIND_ROWS, NAME_ROWS, token_table

OUT = Path(__file__).parents[2] / "okedit_cli/models/mini"


def main() -> None:
    """Write weights.safetensors (half precision) and vocabulary.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--lm", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--tokenizer", type=Path, required=True, help="the language model's folder")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    head = torch.load(args.head, weights_only=False)
    tuned = torch.load(args.lm, weights_only=False)
    classes = json.loads(args.imagenet.read_text())
    names, kinds, kind_of = tuned["names"], tuned["kinds"], tuned["kind_of"]
    if head["names"] != names[: len(head["names"])]:
        raise SystemExit("the head and the language model were trained with different vocabularies")
    words = {
        "names": names,
        "kinds": kinds,
        "imagenet_names": [names.index(n) for n, _ in classes],
        "imagenet_kinds": [kinds.index(kind_of[n]) for n, _ in classes],
    }
    (args.out / "vocabulary.json").write_text(
        json.dumps(words, ensure_ascii=False, separators=(",", ":")) + "\n"
    )
    tensors = {f"tower.head.{k}": v for k, v in head["state"].items()} | tuned["tensors"]
    tables = [
        token_table(texts, lambda t: tokenizer(t, add_special_tokens=False).input_ids, -1, rows)
        for texts, rows in ((names, NAME_ROWS), (kinds, KIND_ROWS), (list(COLOURS), COLOUR_ROWS))
    ]
    spelt = torch.cat([table.flatten() for table in tables]).unique()
    config = {
        "tokens": len(spelt),
        "names": len(head["names"]),
        "vocabulary": len(names),
        "kinds": len(kinds),
        "head_hidden": head["hidden"],
        "head_width": head["width"],
    }
    tensors = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(
        tensors,
        args.out / "weights.safetensors",
        {"vision_config": json.dumps(config), "projector_hidden_act": "linear"},
    )
    print(f"{sum(v.nbytes for v in tensors.values()) / 1e6:.1f} MB, {len(names)} names, step {tuned['step']}")


if __name__ == "__main__":
    main()

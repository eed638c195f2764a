"""Train connector and low-rank update of okedit-mini: train_lm.py WORK --head FILE --lm FOLDER --out FILE.

The encoder and the concept head are frozen and cached; a step costs only the language model. Text-only
prompts are
replayed with a KL term to the untouched SmolLM2, so that it keeps what it knew. Checkpoints every 100 steps.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from questions import REPLAY, attribute_fact, fill, picture_question, relation_fact
from torch import nn
from torch.nn import functional as F
from train_head import load
from transformers import AutoModelForCausalLM, AutoTokenizer

from okedit_cli.models.mini.concepts import ConceptHead
from okedit_cli.models.mini.tokens import (
    COLOUR_ROWS,
    COLOURS,
    IMAGE_TOKENS,
    KIND_ROWS,
    NAME_ROWS,
    colour_weights,
    expected_rows,
    token_table,
)

RANK, TARGETS = 16, ("q_proj", "v_proj", "down_proj")
USER, END, ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n"


class LowRank(nn.Module):
    """A frozen linear layer plus B @ A, which is merged into it when the checkpoint is assembled."""

    def __init__(self, base: nn.Linear, rank: int = RANK):
        super().__init__()
        self.base, self.active = base, True
        self.A = nn.Parameter(torch.randn(rank, base.in_features) * base.in_features**-0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]."""
        return self.base(x) + (x @ self.A.T.to(x.dtype)) @ self.B.T.to(x.dtype)


class Connector(nn.Module):
    """LlavaMultiModalProjector with a linear activation: tower rows [.., 1280 + d] -> [.., d].

    Starts as: nothing from the grid, name and kind rows as they are.
    """

    def __init__(self, width: int):
        super().__init__()
        self.linear_1 = nn.Linear(1280 + width, width)
        self.linear_2 = nn.Linear(width, width)
        with torch.no_grad():
            self.linear_1.weight[:, :1280].mul_(0.05)
            self.linear_1.weight[:, 1280:] = torch.eye(width)
            self.linear_2.weight.copy_(torch.eye(width))
            self.linear_1.bias.zero_()
            self.linear_2.bias.zero_()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Tower rows -> language-model rows."""
        return self.linear_2(self.linear_1(rows))


class Data:
    """Cached pictures as tower rows: the grid and the weights of names, kinds and colours."""

    def __init__(self, work: Path, head_file: Path, tokenizer, embedding: torch.Tensor):
        saved = torch.load(head_file, weights_only=False)
        head = ConceptHead(len(saved["names"]), len(saved["kinds"]), saved["hidden"], saved["width"])
        head.load_state_dict(saved["state"])
        self.kind_of, self.kinds = saved["kind_of"], saved["kinds"]
        imagenet = [n for n, _ in json.loads((work / "imagenet.json").read_text())]
        self.names = list(dict.fromkeys(saved["names"] + imagenet))
        self.trained = len(saved["names"])
        self.embedding = embedding
        tok = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.name_table = token_table(self.names, tok, end, NAME_ROWS)
        self.kind_table = token_table(self.kinds, tok, end, KIND_ROWS)
        self.colour_table = token_table(list(COLOURS), tok, end, COLOUR_ROWS)
        grids, self.rows, names, kinds, colours = [], [], [], [], []
        shards = [
            "plain",
            "view0",
            "view1",
            "count",
            "cifar_0",
            "cifar_view0",
            "stamps_plain",
            "stamps_view0",
        ]
        for shard in shards:
            data = torch.load(work / f"features/{shard}.pt", weights_only=False)
            x, _ = load(work, f"{shard}.pt")
            keep = [i for i, r in enumerate(data["rows"]) if r["artist"] != "stamp-test"]
            with torch.no_grad():
                for part in torch.tensor(keep).split(4096):
                    hidden = head.hidden(x[part].float())
                    names.append(head.name_logits(head.embed(hidden)).half())
                    kinds.append(head.kinds(hidden).half())
            grids.append(data["grid"][keep])
            colours.append(colour_weights(data["colours"][keep]))
            self.rows += [data["rows"][i] for i in keep]
        self.grid = torch.cat(grids)
        self.name_logits, self.kind_logits, self.colours = (
            torch.cat(names),
            torch.cat(kinds),
            torch.cat(colours),
        )
        self.grid_mean, self.grid_std = (
            self.grid[::7].float().mean((0, 1)),
            self.grid[::7].float().std((0, 1)) + 1e-2,
        )
        weight = {"plain": 1.0, "count": 0.8, "cifar": 0.25, "stamp": 1.0, "view": 0.7}
        self.weight = torch.tensor(
            [
                0.8
                if r.get("count")
                else weight["cifar"]
                if r["artist"].startswith("cifar")
                else weight["stamp"]
                if r["artist"] == "stamp"
                else 0.7
                for r in self.rows
            ]
        )

    def tower_rows(self, index: torch.Tensor, names: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Rows [B, IMAGE_TOKENS, 1280 + d] as the vision tower will give them."""
        grid = (self.grid[index].float() - self.grid_mean) / self.grid_std
        said = torch.cat(
            [
                expected_rows(names, self.name_table, self.embedding),
                expected_rows(kinds, self.kind_table, self.embedding),
                expected_rows(self.colours[index], self.colour_table, self.embedding),
            ],
            1,
        )
        width = said.shape[-1]
        rows = torch.zeros(len(index), IMAGE_TOKENS, 1280 + width)
        rows[:, : grid.shape[1], :1280] = grid
        rows[:, grid.shape[1] :, 1280:] = said
        return rows

    def batch(self, size: int, rng: random.Random) -> tuple[torch.Tensor, list[tuple[str, str]]]:
        """Tower rows and their (prompt, answer) pairs; a fifth stand for names that only ImageNet has."""
        index = torch.multinomial(self.weight, size)
        names = (self.name_logits[index].float() * 1.5).softmax(1)
        names = torch.cat([names, torch.zeros(size, len(self.names) - self.trained)], 1)
        kinds = self.kind_logits[index].float().softmax(1)
        pairs = []
        for i, at in enumerate(index.tolist()):
            row = self.rows[at]
            if row.get("count"):
                pairs.append(picture_question(row, self.names, self.kind_of, rng))
                continue
            if rng.random() < 0.25:  # any name of the vocabulary on any picture: the rows are what is read
                name = rng.choice(self.names)
                row = {"name": name, "kind": self.kind_of[name]}
                names[i] = 0
                names[i, self.names.index(name)] = rng.uniform(0.5, 1)
                for _ in range(3):
                    names[i, rng.randrange(len(self.names))] += rng.uniform(0, 0.15)
                names[i] /= names[i].sum()
                kinds[i] = 0.02
                kinds[i, self.kinds.index(self.kind_of[name])] = 0.8
                kinds[i] /= kinds[i].sum()
            pairs.append(picture_question(row, self.names, self.kind_of, rng))
        return self.tower_rows(index, names, kinds), pairs


def replay_set(model, tokenizer, rng: random.Random, count: int, path: Path) -> list[torch.Tensor]:
    """Token ids of text-only prompts with SmolLM2's own continuations, made once."""
    if path.exists():
        return torch.load(path)
    prompts = sorted({fill(rng.choice(REPLAY), rng) for _ in range(count * 2)})[:count]
    rng.shuffle(prompts)
    out = []
    for start in range(0, len(prompts), 40):
        texts = [
            USER + p + END + ASSISTANT if rng.random() < 0.75 else p for p in prompts[start : start + 40]
        ]
        enc = tokenizer(
            texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        with torch.inference_mode():
            ids = model.generate(**enc, max_new_tokens=40, do_sample=False)
        out += [
            row[row != tokenizer.pad_token_id]
            if tokenizer.pad_token_id != tokenizer.eos_token_id
            else row[int((mask == 0).sum()) :]
            for row, mask in zip(ids, enc.attention_mask, strict=True)
        ]
    torch.save(out, path)
    return out


def main() -> None:
    """Train; the file holds projector, grid statistics and the low-rank update."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--lm", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--keep", type=float, default=1.0, help="weight of the KL on replayed texts")
    parser.add_argument("--replay", type=int, default=2, help="replayed texts a step")
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from, with a new schedule")
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = AutoTokenizer.from_pretrained(args.lm)
    model = AutoModelForCausalLM.from_pretrained(args.lm, dtype=torch.bfloat16).requires_grad_(False)
    model.generation_config.max_length = None
    replay = replay_set(model, tokenizer, rng, 800, args.work / "replay.pt")
    taught = []  # the untouched model's last states on the replayed texts: its distribution, small to keep
    with torch.inference_mode():
        for row in replay:
            taught.append(model.model(input_ids=row[None]).last_hidden_state[0].clone())
    lora: dict[str, LowRank] = {}
    for i, layer in enumerate(model.model.layers):
        for name in TARGETS:
            owner = layer.mlp if name == "down_proj" else layer.self_attn
            low = LowRank(getattr(owner, name))
            setattr(owner, name, low)
            lora[f"{i}.{name}"] = low
    embedding = model.model.embed_tokens.weight.detach().float()
    data = Data(args.work, args.head, tokenizer, embedding)
    connector = Connector(embedding.shape[1])
    print("data", len(data.rows), "names", len(data.names), "replay", len(replay), flush=True)
    params = [p for low in lora.values() for p in (low.A, low.B)]
    optimiser = torch.optim.AdamW(
        [{"params": params, "weight_decay": 0.0}, {"params": connector.parameters()}],
        lr=args.rate,
        weight_decay=0.01,
    )
    tok = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    before, start = torch.tensor(tok(USER)), time.time()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def text_facts(count: int) -> list[tuple[list[int], list[int]]]:
        out = []
        for _ in range(count):
            fact, question, answer = relation_fact(rng) if rng.random() < 0.6 else attribute_fact("dog", rng)
            lead = (
                rng.choice(["Fact: ", "Note: ", "", "Remember: "])
                + fact[0].upper()
                + fact[1:].rstrip(".")
                + ". "
            )
            out.append((tok(USER + lead + question + END + ASSISTANT), tok(answer) + [end]))
        return out

    if args.resume:
        tensors = torch.load(args.resume, weights_only=False)["tensors"]
        connector.load_state_dict(
            {k.removeprefix("projector."): v for k, v in tensors.items() if k.startswith("projector.")}
        )
        for key, low in lora.items():
            low.A.data.copy_(tensors[f"lm.{key}.A"])
            low.B.data.copy_(tensors[f"lm.{key}.B"])
        rng.seed(1)
        torch.manual_seed(1)
    smooth = {}
    for step in range(args.steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / args.steps)) * min(1, (step + 1) / 40)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * rate
        rows, pairs = data.batch(args.size, rng)
        seqs = [(tok("\n" + p + END + ASSISTANT), tok(a) + [end]) for p, a in pairs]
        extra = text_facts(args.size // 8)
        seen = connector(rows)
        embeds, labels = [], []
        for i, (q, a) in enumerate(seqs + extra):
            text = embedding[torch.tensor(q + a)]
            head = torch.cat([embedding[before], seen[i]]) if i < len(seqs) else embedding[:0]
            embeds.append(torch.cat([head, text]))
            labels.append(torch.tensor([-100] * (len(head) + len(q)) + a))
        longest = max(map(len, embeds))
        mask = torch.stack([torch.arange(longest) < len(e) for e in embeds]).long()
        inputs = torch.stack([F.pad(e, (0, 0, 0, longest - len(e))) for e in embeds]).bfloat16()
        target = torch.stack([F.pad(t, (0, longest - len(t)), value=-100) for t in labels])
        hidden = model.model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
        at = target[:, 1:] != -100
        logits = (hidden[:, :-1][at] @ model.lm_head.weight.T).float()
        loss = F.cross_entropy(logits, target[:, 1:][at], label_smoothing=0.02)
        picked = rng.sample(range(len(replay)), args.replay)
        width = max(len(replay[i]) for i in picked)
        ids = torch.stack([F.pad(replay[i], (0, width - len(replay[i])), value=end) for i in picked])
        keep = torch.stack([torch.arange(width) < len(replay[i]) for i in picked])
        with torch.no_grad():
            base = torch.cat([taught[i] for i in picked]) @ model.lm_head.weight.T
            base = base.float().log_softmax(-1)
        now = model.model(input_ids=ids, attention_mask=keep.long()).last_hidden_state[keep]
        now = (now @ model.lm_head.weight.T).float().log_softmax(-1)
        kl = F.kl_div(now, base, log_target=True, reduction="batchmean")
        agree = (now.argmax(-1) == base.argmax(-1)).float().mean()
        optimiser.zero_grad()
        (loss + args.keep * kl).backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        for key, value in (("loss", loss), ("kl", kl), ("agree", agree)):
            smooth[key] = 0.95 * smooth.get(key, float(value.detach())) + 0.05 * float(value.detach())
        if step % 20 == 19:
            print(
                f"step {step + 1}/{args.steps} " + " ".join(f"{k} {v:.3f}" for k, v in smooth.items()),
                f"{time.time() - start:.0f}s",
                flush=True,
            )
        if step % 100 == 99 or step == args.steps - 1:
            out = {f"projector.{k}": v.detach() for k, v in connector.state_dict().items()}
            out |= {f"lm.{k}.{n}": getattr(low, n).detach() for k, low in lora.items() for n in ("A", "B")}
            out |= {"tower.grid_mean": data.grid_mean, "tower.grid_std": data.grid_std}
            torch.save(
                {
                    "tensors": out,
                    "step": step + 1,
                    "names": data.names,
                    "kinds": data.kinds,
                    "trained": data.trained,
                    "kind_of": data.kind_of,
                },
                args.out.with_suffix(".tmp"),
            )
            args.out.with_suffix(".tmp").rename(args.out)


if __name__ == "__main__":
    main()

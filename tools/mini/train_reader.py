"""Teach okedit-mini to use a note: train_reader.py OUT.safetensors --fit DATA/fit.json [--steps 450].

Low-rank changes of the decoder that act from a note's first token on, and nowhere else
(models/mini/reader.py): the counterpart of SERAC's counterfactual model (Mitchell et al. 2022). Taught on
what follows from things and countries of the fit split and of the vocabulary (reader_questions.py); what else
bears on a note is held to what the model says by itself. Printed is how things and wordings that were held
back are answered.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from pathlib import Path

import torch
from PIL import Image
from reader_questions import Questions, Row
from safetensors.torch import save_file
from torch.nn import functional as F

from okedit_cli.models.encode import encode_row
from okedit_cli.models.features import cut_row, look
from okedit_cli.models.fingerprint import fingerprint
from okedit_cli.models.load import load_model
from okedit_cli.models.notes import note_embeds, with_note
from okedit_cli.models.sites import decoder, decoder_layers, image_token_id

RANK, FIRST, TARGETS = 8, 10, ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
RATE, LEFT = 1e-3, 0.5  # of the KL term where the model is to be left as it is


class Changes:
    """Low-rank changes [rank, in], [out, rank] of the decoder's layers from FIRST on, by module."""

    def __init__(self, loaded):
        self.on: torch.Tensor | None = None  # [B, L, 1]: where they act; None: nowhere
        self.parts: dict[str, torch.Tensor] = {}
        for number, layer in list(enumerate(decoder_layers(loaded.model)))[FIRST:]:
            for name in TARGETS:
                module, path = layer.get_submodule(name), f"{number}.{name}"
                down = torch.randn(RANK, module.in_features) * module.in_features**-0.5
                up = torch.zeros(module.out_features, RANK)
                self.parts[f"{path}.down"] = down.requires_grad_()
                self.parts[f"{path}.up"] = up.requires_grad_()
                module.register_forward_hook(self._hook(down, up))

    def _hook(self, down: torch.Tensor, up: torch.Tensor):
        def hook(module, args, output):
            return None if self.on is None else output + self.on * ((args[0] @ down.T) @ up.T)

        return hook


class Prompts:
    """Batches of told prompts and answers, as the attachment has them read."""

    def __init__(self, loaded, pictures: list[Image.Image]):
        self.loaded, self.seen = loaded, []
        placeholder = image_token_id(loaded.model)
        for picture in pictures:
            row = encode_row(loaded, "?", picture)
            length = int((row["input_ids"][0] == placeholder).nonzero()[-1]) + 1
            found = look(loaded, cut_row(row, length), picture)
            self.seen.append((found.embeds[0].clone(), found.places))
        ids, mark = encode_row(loaded, "?", pictures[0])["input_ids"][0].tolist(), "\n?<|im_end|>"
        self.open, self.shut = "\n", "<|im_end|>\n<|im_start|>assistant\n"
        behind = loaded.tokenizer.decode(ids[len(self.seen[0][0]) :])
        if behind != f"{self.open}?{self.shut}":
            raise SystemExit(f"The template says {behind!r} behind a picture, expected {mark!r} and more.")
        self.end = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def ids(self, text: str) -> list[int]:
        return self.loaded.tokenizer(text, add_special_tokens=False).input_ids

    def batch(self, rows: list[Row], answers: list[list[int]], chance: random.Random):
        """(inputs [B, L, d], mask [B, L], where a note is read [B, L, 1], targets [B, L])."""
        table, made = self.loaded.model.get_input_embeddings(), []
        for row, answer in zip(rows, answers, strict=True):
            embeds, places = chance.choice(self.seen)
            note = note_embeds(self.loaded, f"Fact: {row.told} {row.says.rstrip('.')}.")
            head = with_note(embeds, places, note)
            asked = self.ids(self.open + row.question + self.shut)
            with torch.no_grad():
                whole = torch.cat([head, table(torch.tensor(asked + answer))])
            begin = int(places[-min(len(places), len(note))])
            target = [-100] * (len(head) + len(asked)) + answer
            made.append((whole, begin, torch.tensor(target)))
        longest = max(len(whole) for whole, _, _ in made)
        inputs = torch.stack([F.pad(w, (0, 0, 0, longest - len(w))) for w, _, _ in made])
        mask = torch.stack([torch.arange(longest) < len(w) for w, _, _ in made]).long()
        on = torch.stack([(torch.arange(longest) >= b).float() for _, b, _ in made])[..., None]
        targets = torch.stack([F.pad(t, (0, longest - len(t)), value=-100) for _, _, t in made])
        return inputs, mask, on, targets

    def logits(self, inputs: torch.Tensor, mask: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] of the tokens before those that `at` [B, L] marks."""
        states = decoder(self.loaded.model)(inputs_embeds=inputs, attention_mask=mask, use_cache=False)
        return self.loaded.model.lm_head(states.last_hidden_state[:, :-1][at[:, 1:]]).float()


@torch.no_grad()
def said(prompts: Prompts, rows: list[Row], count: int = 4) -> list[list[int]]:
    """What the model says to rows by itself, told the note: greedy, up to `count` tokens and the end."""
    out: list[list[int]] = [[] for _ in rows]
    for _ in range(count):
        chance = random.Random(0)
        inputs, mask, _, _ = prompts.batch(rows, out, chance)
        states = decoder(prompts.loaded.model)(inputs_embeds=inputs, attention_mask=mask, use_cache=False)
        last = states.last_hidden_state[torch.arange(len(rows)), mask.sum(1) - 1]
        for answer, token in zip(out, prompts.loaded.model.lm_head(last).argmax(-1).tolist(), strict=True):
            if not answer or answer[-1] != prompts.end:
                answer.append(token)
    return out


@torch.no_grad()
def judge(prompts: Prompts, changes: Changes, rows: list[Row], answers: list[list[int]]) -> str:
    """How many held-back rows are answered token by token, by what they ask."""
    right, all_ = Counter(), Counter()
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        inputs, mask, on, targets = prompts.batch(part, answers[start : start + 32], random.Random(start))
        for name, where in (("with", on), ("without", None)):
            changes.on = where
            hits = prompts.logits(inputs, mask, targets != -100).argmax(-1) == targets[targets != -100]
            lengths = (targets != -100).sum(1).tolist()
            for row, hit in zip(part, hits.split(lengths), strict=True):
                kind = "yes/no" if row.answer in ("yes", "no") else "other"
                kind = "name" if row.answer == row.says else kind
                right[name, kind] += bool(hit.all())
                all_[name, kind] += 1
    shares = {one: 100 * right[one] / all_[one] for one in sorted(all_)}
    return ", ".join(f"{kind} {name} {share:.1f}" for (name, kind), share in shares.items())


def main() -> None:
    """Train, judge and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--size", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(0)
    chance, start = random.Random(0), time.time()
    loaded = load_model("okedit-mini")
    loaded.model.requires_grad_(False)
    fit = json.loads(args.fit.read_text(encoding="utf-8"))
    pictures = [Image.open(args.fit.parent / row["image"]).convert("RGB") for row in fit[::3]]
    prompts, changes = Prompts(loaded, pictures), Changes(loaded)
    questions = Questions()
    answer_of = lambda row: [*prompts.ids(row.answer), prompts.end]  # noqa: E731
    held = [row for row in (questions.draw(chance, held=True) for _ in range(460)) if row.answer]
    left = [row for row in (questions.draw(chance) for _ in range(6000)) if not row.answer][:256]
    own: list[list[int]] = []
    for at in range(0, len(left), 64):
        own += said(prompts, left[at : at + 64])
    print(f"{len(questions.things)} things, {time.time() - start:.0f} s", flush=True)
    optimiser = torch.optim.AdamW(changes.parts.values(), lr=RATE, weight_decay=0.0)
    smooth = Counter()
    for step in range(args.steps):
        if step % 200 == 0:
            print(f"step {step}: {judge(prompts, changes, held, [answer_of(r) for r in held])}", flush=True)
        optimiser.param_groups[0]["lr"] = (
            RATE * min(1, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        )
        drawn = [questions.draw(chance) for _ in range(args.size)]
        learn = [row for row in drawn if row.answer]
        keep = [chance.randrange(len(left)) for _ in range(len(drawn) - len(learn))]
        rows = learn + [left[i] for i in keep]
        answers = [answer_of(row) for row in learn] + [own[i] for i in keep]
        inputs, mask, on, targets = prompts.batch(rows, answers, chance)
        at = targets != -100
        count = int(at[: len(learn)].sum())
        changes.on = on
        logits = prompts.logits(inputs, mask, at)
        loss = F.cross_entropy(logits[:count], targets[at][:count], label_smoothing=0.02)
        kl = torch.zeros(())
        if keep:
            with torch.no_grad():
                changes.on = None
                rest = slice(len(learn), None)
                before = prompts.logits(inputs[rest], mask[rest], at[rest]).log_softmax(-1)
            kl = F.kl_div(logits[count:].log_softmax(-1), before, log_target=True, reduction="batchmean")
        optimiser.zero_grad()
        (loss + LEFT * kl).backward()
        torch.nn.utils.clip_grad_norm_(list(changes.parts.values()), 1.0)
        optimiser.step()
        for name, value in (("loss", loss), ("kl", kl)):
            smooth[name] = 0.95 * smooth.get(name, float(value.detach())) + 0.05 * float(value.detach())
        if step % 20 == 19:
            told = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            print(f"step {step + 1}/{args.steps} {told} {time.time() - start:.0f} s", flush=True)
        if step % 100 == 99 or step == args.steps - 1:
            save(args.out, changes, loaded)
    print(f"at the end: {judge(prompts, changes, held, [answer_of(r) for r in held])}", flush=True)


def save(path: Path, changes: Changes, loaded) -> None:
    """Write the changes, bound to the model's weights; half precision is enough for them."""
    parts = {name: part.detach().half().contiguous() for name, part in changes.parts.items()}
    metadata = {"weights": fingerprint(loaded)["weights"]}
    save_file(parts, path.with_suffix(".tmp"), metadata)
    path.with_suffix(".tmp").rename(path)


if __name__ == "__main__":
    main()

"""Train the pair classifier: does a query ask for what a fact's prompt asks for?

python tools/scope/train_pairs.py OUT.safetensors [--fit DATA/fit.json] [--minutes 55] [--begin OUT.pt]

A cross-encoder ([CLS] prompt [SEP] query [SEP], three classes) that goes on from the question encoder, all
of its layers trained with cross-entropy on pairs made on the fly (pair_texts.py). Families held back by
name judge it: the share of their ANSWERS pairs that lie above the score that so many of their OTHER pairs
pass. Those scores go into the file with it. Two cores and an hour; the state is written every 600 steps and
--begin goes on from it, or from weights as they are shipped.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from pair_texts import ANSWERS, FOLLOWS, OTHER, Pair, Pairs, families, fragments, is_held_back
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from okedit_cli.encoders.pair import (
    LONGEST,
    PairClassifier,
    logits_of,
    padded,
    pair_ids,
    quantised,
    question_bert,
)

BATCH, AHEAD = 48, 12  # pairs of a step; steps whose pairs are sorted by length together
RATE, WARM = 2e-4, 150
NEW_RATE = 10  # times the rate, for the embeddings of segments, which nothing was pretrained for
SHARES = (0.005, 0.01, 0.02, 0.04, 0.05)
LOW = (0.03, 0.5)  # of ANSWERS: what `plausible` and `steep` of scope/calibration.json are set by


def ids_of(tokenizer, pairs: list[Pair]) -> list[tuple[list[int], list[int]]]:
    """Token and segment ids of each pair."""
    return [pair_ids(tokenizer, one.prompt, one.query) for one in pairs]


def judge(model: PairClassifier, tokenizer, pairs: list[Pair]) -> dict[str, float]:
    """Recall of ANSWERS at shares of OTHER and FOLLOWS, by the log odds of ANSWERS, and recall of FOLLOWS."""
    found = logits_of(model, tokenizer, [(one.prompt, one.query) for one in pairs])
    labels = torch.tensor([one.label for one in pairs])
    score = found[:, ANSWERS] - found[:, [FOLLOWS, OTHER]].logsumexp(1)
    own, away = score[labels == ANSWERS], score[labels == OTHER].sort(descending=True).values
    out = {"accuracy": float((found.argmax(1) == labels).float().mean())}
    for share in SHARES:
        border = float(away[int(share * len(away))])
        out[f"score at {share:.1%}"], out[f"found at {share:.1%}"] = (
            border,
            float((own > border).float().mean()),
        )
    for share in LOW:
        out[f"{share:.0%} of the same below"] = float(own.quantile(share))
    follows = found[labels == FOLLOWS]
    out["follows found"] = float((follows.argmax(1) == FOLLOWS).float().mean())
    out["others that follow"] = float((found[labels == OTHER].argmax(1) == FOLLOWS).float().mean())
    return out


def begin(model: PairClassifier, path: Path) -> None:
    """Take over a state of training or the weights as they are shipped."""
    if path.suffix == ".pt":
        model.load_state_dict(torch.load(path)["model"])
        return
    model.load_quantised(load_file(path))


def main() -> None:
    """Train, judge, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, help="fit.json of okedit-pictures [default: taught without it]")
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE, help="lower where --begin is given")
    parser.add_argument("--bfloat16", action="store_true", help="quicker on CPUs with AMX, slower on others")
    parser.add_argument("--begin", type=Path, help="a state to go on from")
    parser.add_argument("--keep", type=float, default=0.0, help="share of --begin in what is written")
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    tokenizer, bert = question_bert()
    tokenizer.enable_truncation(LONGEST, strategy="longest_first")
    bert.set_attn_implementation("eager")  # quicker backwards on CPUs
    model = PairClassifier(bert)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # no pair comes twice
    step = 0
    if chosen.begin:
        begin(model, chosen.begin)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    model.requires_grad_(True)
    model.bert.embeddings.word_embeddings.requires_grad_(False)
    model.bert.embeddings.position_embeddings.requires_grad_(False)
    found = families(chosen.fit)
    taught, held = [f for f in found if not is_held_back(f.name)], [f for f in found if is_held_back(f.name)]
    before, behind = fragments()
    source, judges = Pairs(taught, chosen.seed, before), Pairs(held, 99, behind)
    judged_by = [judges.draw() for _ in range(4000)]
    print(f"{len(taught)} families, {len(held)} held back", flush=True)
    segments = model.bert.embeddings.token_type_embeddings.weight
    rest = [p for p in model.parameters() if p.requires_grad and p is not segments]
    optimiser = torch.optim.AdamW(
        [{"params": rest, "times": 1}, {"params": [segments], "times": NEW_RATE}], weight_decay=0.01
    )
    at_first = judge(model.eval(), tokenizer, judged_by)
    model.train()
    print("at first", {k: round(v, 3) for k, v in at_first.items()}, flush=True)
    began, running, waiting = time.time(), 0.0, []
    while step < chosen.steps and time.time() - began < 60 * chosen.minutes:
        if not waiting:
            pairs = [source.draw() for _ in range(BATCH * AHEAD)]
            rows = list(zip(ids_of(tokenizer, pairs), [one.label for one in pairs], strict=True))
            rows.sort(key=lambda row: len(row[0][0]))
            waiting = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
            source.chance.shuffle(waiting)
        rows = waiting.pop()
        # the rate falls with whatever runs out first, steps or minutes
        left = 1 - max(step / chosen.steps, (time.time() - began) / (60 * chosen.minutes))
        for group in optimiser.param_groups:
            falling = max(0.02, 0.5 - 0.5 * math.cos(math.pi * left))
            group["lr"] = group["times"] * chosen.rate * min(1, (step + 1) / WARM) * falling
        with torch.autocast("cpu", torch.bfloat16, enabled=chosen.bfloat16):
            logits = model(*padded([row for row, _ in rows]))
        loss = F.cross_entropy(logits.float(), torch.tensor([label for _, label in rows]))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        running, step = 0.98 * running + 0.02 * loss.item(), step + 1
        if step % 600 == 0:
            model.eval()
            judged = judge(model, tokenizer, judged_by)
            model.train()
            print(step, round(time.time() - began), round(running / (1 - 0.98**step), 4),
                  {k: round(v, 3) for k, v in judged.items()}, flush=True)  # fmt: skip
            torch.save({"model": model.state_dict(), "step": step}, chosen.out.with_suffix(".pt"))
    # the mean of two states finds more than either: Wortsman et al. 2022, "Robust fine-tuning"
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.lerp_(first[name], chosen.keep)
    save(model, tokenizer, chosen.out, judged_by)


def save(model: PairClassifier, tokenizer, out: Path, judged_by: list[Pair]) -> None:
    """Write what differs from the sentence encoder's own file, in eight bits, and how it was judged as
    written.
    """
    from safetensors.torch import save_file

    tensors = quantised(model)
    model.load_quantised(tensors)
    judged = judge(model.eval(), tokenizer, judged_by)
    print("as written", {k: round(v, 3) for k, v in judged.items()}, flush=True)
    save_file(tensors, out, {name: f"{value:.4f}" for name, value in judged.items()})


if __name__ == "__main__":
    main()

"""Train the question encoder: changes of all-MiniLM-L6-v2 that put questions of one meaning together.

    python tools/scope/train_questions.py OUT.safetensors --fit DATA/fit.json [--steps 1200]

Supervised contrastive loss (Khosla et al. 2020) and, since an edit judges by an absolute distance, a
logistic loss of each pair (Zhai et al. 2023) over groups of wordings: the bank's, those of the *_questions
files beside this one, those of relations with subjects put in (other subjects and other relations are the
near negatives), and of the fit split of okedit-pictures. A seventh of every group is held back: from it comes
the radius, the distance below which one in a hundred questions of another meaning would lie. No test split
is read.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

HERE = Path(__file__).parent / "texts"
TEMPERATURE, RATE, HELD_BACK, RANK = 0.07, 1e-3, 7, 32
PAIRS = 0.5  # weight of the logistic loss
# intents that an older, wider one includes: neither pulled together nor pushed apart
WIDER = {
    **dict.fromkeys(("at_left", "at_right", "at_centre", "at_top", "at_bottom"), "position"),
    "building_country": "location",
    "expression": "mood",
    "parked": "action",
}
APART, STEEP = 0.29, 8.0  # squared distance at which a pair is in doubt, and how fast the doubt goes


@dataclass(frozen=True)
class Group:
    """Wordings that ask for the same. Groups of one family are neither pulled together nor pushed apart."""

    name: str
    family: str
    wordings: tuple[str, ...]


def bank_groups() -> list[Group]:
    """The groups of the bank that ships with okedit; those that ask what a picture shows are one family."""
    from okedit_cli.bank import load_bank

    out = []
    for group in load_bank().questions:
        name = f"bank:{group.intent}:{group.subject}:{group.noun}"
        same = group.about_picture and group.intent in ("what", "kind", "name")
        out.append(Group(name, "identity" if same else name, tuple(group.wordings)))
    return out


def picture_wordings() -> tuple[dict[str, list[str]], list[dict]]:
    """Nouns by category, and the hand-written groups of questions about pictures as their files have them."""
    found = [
        yaml.safe_load((HERE / f"{name}_questions.yaml").read_text(encoding="utf-8"))
        for name in ("picture", "identity", "aspect")
    ]
    return found[0]["nouns"], [group for data in found for group in data["groups"]]


def categories_of(group: dict, nouns: dict[str, list[str]]) -> list[str]:
    """Whose nouns a group's wordings take."""
    return [group["about"]] if group["about"] in nouns else [c for c in nouns if c != "person"]


def picture_groups(chance: random.Random) -> list[Group]:
    """Hand-written questions about pictures, nouns put in; asking for the name of a thing is one family, and
    so is each other intent, whatever the group.
    """
    out: list[Group] = []
    nouns, groups = picture_wordings()
    for number, group in enumerate(groups):
        plain = [w for w in group["wordings"] if "{noun}" not in w]
        slotted = [w for w in group["wordings"] if "{noun}" in w]
        name, family = f"{group['intent']}:{number}", WIDER.get(group["intent"], group["intent"])
        if group["intent"].startswith("identity") and "person" not in str(group["about"]):
            family = "identity"
        categories = categories_of(group, nouns)
        if plain:
            out.append(Group(name, family, tuple(plain)))
        for category in categories if slotted else ():
            filled = tuple(w.replace("{noun}", chance.choice(nouns[category])) for w in slotted)
            out.append(Group(f"{name}:{category}", family, filled))
    return out


def knowledge_groups() -> list[Group]:
    """General knowledge, asked in the words of questions about pictures."""
    data = yaml.safe_load((HERE / "knowledge_questions.yaml").read_text(encoding="utf-8"))
    return [
        Group(f"knowledge:{g['intent']}", f"knowledge:{g['intent']}", tuple(g["wordings"]))
        for g in data["groups"]
    ]


def fit_groups(path: Path) -> list[Group]:
    """Prompts of a fit split with their rephrasings, and its other questions by what they ask for."""
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            text = parent[text]
        return text

    rows, other = json.loads(path.read_text(encoding="utf-8")), set()
    for row in rows:
        for text in row["rephrased_questions"]:
            parent[find(text)] = find(row["question"])
        other |= {item["question"] for item in (*row["same_image"], *row["portability"])} | {row["loc"]}
    classes = defaultdict(list)
    for text in parent:
        classes[find(text)].append(text)
    out = [Group(f"fit:{root}", "identity", tuple(sorted(texts))) for root, texts in classes.items()]
    return out + [Group(f"fit:{text}", f"fit:{text}", (text,)) for text in sorted(other)]


class Relations:
    """Questions and open statements about named subjects, put together as they are needed."""

    def __init__(self) -> None:
        data = yaml.safe_load((HERE / "relations.yaml").read_text(encoding="utf-8"))
        more = yaml.safe_load((HERE / "knowledge_questions.yaml").read_text(encoding="utf-8"))
        self.subjects, self.distractors = data["subjects"], data["distractors"]
        forms: dict[tuple[str, str], list[str]] = defaultdict(list)
        for relation in (*data["relations"], *more["relations"]):
            forms[relation["subjects"], relation["relation"]] += relation["wordings"]
        self.by_kind = defaultdict(list)
        for (kind, name), wordings in forms.items():
            self.by_kind[kind].append({"relation": name, "wordings": wordings})

    def batch(self, chance: random.Random, relations: int = 5, subjects: int = 4) -> list[Group]:
        """Groups that are near to each other: the same relations of the same kind of subject, crossed."""
        kind = chance.choice([k for k, found in self.by_kind.items() if len(found) > 1])
        picked = chance.sample(self.by_kind[kind], min(relations, len(self.by_kind[kind])))
        names = chance.sample(self.subjects[kind], subjects)
        out = []
        for relation in picked:
            for name in names:
                forms = chance.sample(relation["wordings"], 2)
                name_ = f"{relation['relation']}:{name}"
                out.append(Group(name_, name_, tuple(self._put(form, name, chance) for form in forms)))
        return out

    def _put(self, form: str, name: str, chance: random.Random) -> str:
        text = form.replace("{s}", name)
        text = text[0].upper() + text[1:]
        if chance.random() < 0.3:
            count = chance.choice((1, 1, 2))
            text = " ".join([*chance.sample(self.distractors, count), text])
        return text


class LowRank(nn.Module):
    """A linear layer with a trainable change of rank r beside it."""

    def __init__(self, linear: nn.Linear, rank: int = RANK) -> None:
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output, changed."""
        return self.linear(x) + (x @ self.a.T) @ self.b.T


class Encoder(nn.Module):
    """The sentence encoder with low-rank changes in every linear layer."""

    def __init__(self, rank: int = RANK) -> None:
        super().__init__()
        from okedit_cli.models import sentences

        self.tokenizer, self.bert = sentences.plain_encoder()
        for name, module in list(self.bert.named_modules()):
            for child, linear in list(module.named_children()):
                if isinstance(linear, nn.Linear) and name.startswith("encoder."):
                    setattr(module, child, LowRank(linear, rank))
        self._ids: dict[str, list[int]] = {}

    def changed(self) -> dict[str, torch.Tensor]:
        """Name of each linear layer + ".a"/".b" -> its change."""
        return {n: p.detach().half() for n, p in self.named_parameters() if n.endswith((".a", ".b"))}

    def forward(self, texts: list[str]) -> torch.Tensor:
        """Unit vectors [n, 384]."""
        for text in texts:
            if text not in self._ids:
                self._ids[text] = self.tokenizer.encode(text).ids
        rows = [self._ids[text] for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        return nn.functional.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=1)


def contrast(vectors: torch.Tensor, groups: list[int], families: list[str]) -> torch.Tensor:
    """Contrastive and pairwise loss of unit vectors [n, d]; of one family only equal groups count."""
    known = {family: number for number, family in enumerate(dict.fromkeys(families))}
    group, family = torch.tensor(groups), torch.tensor([known[f] for f in families])
    same = group[:, None] == group[None]
    neutral = (family[:, None] == family[None]) & ~same
    itself = torch.eye(len(group), dtype=torch.bool)
    logits = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself | neutral, -1e9)
    logged = logits - logits.logsumexp(1, keepdim=True)
    mates = same & ~itself
    per_row = -logged.masked_fill(~mates, 0).sum(1) / mates.sum(1).clamp_min(1)
    inside = STEEP * (1 - (2 - 2 * vectors @ vectors.T) / (2 * APART))
    strangers = ~same & ~neutral
    worst = inside.masked_fill(~strangers, -1e9).amax(1)
    pairs = nn.functional.softplus(-inside)[mates].mean() + nn.functional.softplus(worst).mean()
    return per_row[mates.any(1)].mean() + PAIRS * pairs


def held_back(group: Group) -> Group:
    """The part of a group that is never trained on."""
    return Group(group.name, group.family, tuple(filter(is_held_back, group.wordings)))


def is_held_back(wording: str) -> bool:
    """Whether a wording is never trained on: by the text alone, so that it stays the same."""
    return zlib.crc32(wording.encode()) % HELD_BACK == 0


@torch.no_grad()
def judge(encoder: Encoder, groups: list[Group]) -> dict[str, float]:
    """Nearest distances of held-back wordings to trained ones of their own group and of other families.

    For an edit of eight keys: the radius that 1 % of strangers (one of each group) enter, and how many of the
    group's own held-back wordings it takes in.
    """
    chance = random.Random(1)
    strangers = [(g.family, chance.choice(h)) for g in groups if (h := held_back(g).wordings)]
    far = _encode(encoder, [text for _, text in strangers])
    own, away = [], []
    for group in groups:
        back = held_back(group).wordings
        front = [w for w in group.wordings if w not in back]
        if not back or len(front) < 4:
            continue
        keys = _encode(encoder, chance.sample(front, min(8, len(front))))
        own.append(torch.cdist(_encode(encoder, list(back)), keys).amin(1))
        outside = torch.tensor([family != group.family for family, _ in strangers])
        away.append(torch.cdist(far[outside], keys).amin(1))
    own, away = torch.cat(own), torch.cat(away)
    out = {}
    for share in (0.002, 0.003, 0.005, 0.01, 0.02):
        radius = float(away.kthvalue(max(1, int(share * len(away)))).values)
        out[f"radius at {share:.1%}"], out[f"recall at {share:.1%}"] = (
            radius,
            float((own < radius).float().mean()),
        )
    return out


def _encode(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    return torch.cat([encoder(texts[i : i + 64]) for i in range(0, len(texts), 64)])


def main() -> None:
    """Train, judge, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--fit", type=Path, help="fit.json of okedit-pictures [default: taught without it]")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.manual_seed(chosen.seed)
    chance = random.Random(chosen.seed)
    groups = [*bank_groups(), *knowledge_groups(), *picture_groups(chance)]
    groups += fit_groups(chosen.fit) if chosen.fit else []
    relations = Relations()
    identity = [g for g in groups if g.family == "identity"]
    general = [g for g in groups if g.family.startswith(("bank:", "knowledge:"))]
    aspects = [g for g in groups if g not in general and g.family != "identity"]
    encoder = Encoder()
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    print(f"{len(groups)} groups, {sum(len(g.wordings) for g in groups)} wordings", flush=True)
    began = time.time()
    for step in range(chosen.steps + 1):
        if step % 100 == 0:
            judged = judge(encoder, groups)
            print(step, round(time.time() - began), {k: round(v, 3) for k, v in judged.items()}, flush=True)
            save(encoder, chosen.out, judged)
        if step % 3 == 2:
            picked = relations.batch(chance)
            texts = [(g, w) for g in picked for w in g.wordings]
        else:
            picked = [*chance.sample(identity, 8), *chance.sample(aspects, 16), *chance.sample(general, 8)]
            texts = []
            for group in picked:
                front = [w for w in group.wordings if w not in held_back(group).wordings]
                texts += [(group, w) for w in chance.sample(front, min(3, len(front)))]
        numbers = {g.name: n for n, g in enumerate(picked)}
        vectors = encoder([w for _, w in texts])
        loss = contrast(vectors, [numbers[g.name] for g, _ in texts], [g.family for g, _ in texts])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for part in optimiser.param_groups:
            part["lr"] = RATE * max(0.02, 1 - step / chosen.steps)


def save(encoder: Encoder, out: Path, judged: dict[str, float]) -> None:
    """Write the changes, and how they were judged."""
    from safetensors.torch import save_file

    save_file(encoder.changed(), out, {name: f"{value:.4f}" for name, value in judged.items()})


if __name__ == "__main__":
    main()

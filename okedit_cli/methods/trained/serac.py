"""SERAC: a memory of facts, a classifier of their scope, and a small model that answers inside it.

After Mitchell et al. (ICML 2022, arXiv 2206.06520) and the multimodal form of VLKEB and LiveEdit. Both
networks are trained apart, the base model not at all: the classifier by cross-entropy on questions in and
out of an edit's scope, p = exp(-squared distance); the small model by the new answer's likelihood given the
edit and a question in its scope.

What differs: the scope sees the picture too, by the base model's own picture vectors, where the published
gate reads the text alone and fires whatever picture is shown; texts are read by okedit's text encoder,
frozen, in place of a tuned DistilBERT; the small model is a transformer of three layers over the base
model's frozen embeddings that may copy (edits/counterfactual_model.py), in place of OPT-125M or T5-small,
and reads no picture. Answers are mixed among the training facts, some made of random tokens, so that it
learns to take the answer from the edit it is given.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from okedit_cli.edits.counterfactual import HEADS, LONGEST, Counterfactual, reading
from okedit_cli.edits.counterfactual_model import Networks, Sizes, laid_out
from okedit_cli.encoders.text import DEFAULT, text_vectors, width_of
from okedit_cli.errors import UsageError
from okedit_cli.facts.pictures import load_picture
from okedit_cli.methods.balancedit import sampler_for
from okedit_cli.methods.base import Computed, Options, Scope
from okedit_cli.methods.registry import Method
from okedit_cli.methods.trained.cases import Case, Question
from okedit_cli.methods.trained.files import EditorSettings, editor_for
from okedit_cli.methods.trained.loop import Training
from okedit_cli.models.encode import answer_ids
from okedit_cli.models.features import look_vectors, vector_width

if TYPE_CHECKING:
    from okedit_cli.facts import Fact
    from okedit_cli.models.load import LoadedModel

NEAR = 1e-4  # least distance that a loss takes a question to have from an edit that does not hold it
MIXED = 0.8  # share of rows whose answer is not the case's
RANDOM = 0.5  # of these, the share whose answer is of random tokens: it can only be copied
FOREIGN = 3  # questions of other cases that an edit is told apart from


@dataclass(frozen=True)
class SeracTraining:
    """Adam as published, at a rate for small networks that begin at random."""

    rate: float = field(default=1e-3, metadata={"help": "of Adam; published 1e-5, for pretrained networks"})
    batch: int = field(default=16, metadata={"help": "edits a step"})
    width: int = field(default=192, metadata={"help": "of the small model"})
    layers: int = field(default=3, metadata={"help": "of the small model"})
    scope: int = field(default=128, metadata={"help": "numbers of a point in the space of scope"})
    positions: int = field(
        default=128, metadata={"help": "places in a text that the small model tells apart"}
    )

    def __post_init__(self) -> None:
        if self.width < HEADS or self.width % HEADS:
            raise ValueError(f"width is {self.width}, expected a multiple of {HEADS}")


class SeracTrainer(Training):
    """A step: a few edits, each with questions in and out of its scope, and answers to say."""

    def __init__(
        self, loaded: LoadedModel, cases: Sequence[Case], settings: SeracTraining, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.loaded, self.cases, self.settings = loaded, list(cases), settings
        self.table = loaded.model.get_input_embeddings().weight.detach().float().cpu()
        seen = vector_width(loaded) if loaded.processor is not None else 1
        self.network = Networks(
            Sizes(
                width_of(DEFAULT), seen, settings.scope, self.table.shape[1], settings.width, settings.layers,
                HEADS, settings.positions,
            )
        )  # fmt: skip
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.rate)
        self._pictures: dict[Path, torch.Tensor] = {}

    def step(self, chance: random.Random) -> dict[str, float]:
        """One step on a few cases."""
        cases = chance.sample(self.cases, min(self.settings.batch, len(self.cases)))
        with torch.enable_grad():
            found = self._scope(cases, chance) | self._answers(cases, chance, MIXED)
            self.optimiser.zero_grad()
            sum(found.values()).backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
        return {name: float(one.detach()) for name, one in found.items()}

    @torch.no_grad()
    def losses(self, cases: Sequence[Case]) -> dict[str, float]:
        """Mean losses of cases that are not trained on, each with its own answer."""
        if not cases:
            return {}
        chance = random.Random(0)
        found = self._scope(cases, chance) | self._answers(cases, chance, 0.0)
        return {name: float(one) for name, one in found.items()}

    def _scope(self, cases: Sequence[Case], chance: random.Random) -> dict[str, torch.Tensor]:
        """Cross-entropy of questions in scope, and out of it: -log p and -log(1 - p), p = exp(-distance)."""
        pairs: list[tuple[Question, Question, bool]] = []
        for case in cases:
            edit, picture = case.edit, case.edit.picture
            views = [picture, *case.views] if picture else [None]
            for _ in range(2):
                prompt = chance.choice([edit.prompt, *case.rephrases])
                pairs.append((edit, Question(prompt, chance.choice(views), ""), True))
            for kept in (case.kept_words, case.kept_pictures):
                pairs += [(edit, one, False) for one in chance.sample(kept, min(2, len(kept)))]
            for other in chance.sample(self.cases, min(FOREIGN, len(self.cases))):
                if (other.edit.prompt, other.edit.picture, other.old) != (edit.prompt, picture, case.old):
                    if other.old != case.old or not picture:  # another picture of the same thing is in scope
                        pairs.append((edit, other.edit, False))
        far = self._distance([edit for edit, _, _ in pairs], [question for _, question, _ in pairs])
        inside = torch.tensor([one for _, _, one in pairs])
        out = -torch.log(-torch.expm1(-far[~inside].clamp(min=NEAR)))
        return {"inside": far[inside].mean(), "outside": out.mean() if len(out) else far.sum() * 0}

    def _distance(self, edits: Sequence[Question], asked: Sequence[Question]) -> torch.Tensor:
        """Squared distances [n], as a memory has them; of a picture where both have one."""
        texts = [text_vectors([one.prompt for one in part]) for part in (edits, asked)]
        far = (self.network.text(texts[0]) - self.network.text(texts[1])).pow(2).sum(1)
        both = [n for n, (a, b) in enumerate(zip(edits, asked, strict=True)) if a.picture and b.picture]
        if both:
            seen = [torch.stack([self._seen(part[n].picture) for n in both]) for part in (edits, asked)]
            apart = (self.network.picture(seen[0]) - self.network.picture(seen[1])).pow(2).sum(1)
            far = far.index_add(0, torch.tensor(both), apart)
        # an edit about a picture holds no question without one, whatever it asks: nothing is learned from it
        lone = torch.tensor([bool(a.picture) and not b.picture for a, b in zip(edits, asked, strict=True)])
        return far + lone * 100.0

    def _seen(self, path: Path) -> torch.Tensor:
        if path not in self._pictures:
            self._pictures[path] = look_vectors(self.loaded, [load_picture(path)])[0]
        return self._pictures[path]

    def _answers(self, cases: Sequence[Case], chance: random.Random, mixed: float) -> dict[str, torch.Tensor]:
        """NLL of the answers that the small model is to say."""
        read, wanted = [], []
        for case in cases:
            answer, kind = case.edit.answer, chance.random()
            if kind < mixed:
                answer = _other(chance.choice(self.cases), chance)
            ids = answer_ids(self.loaded, answer)
            if kind < mixed * RANDOM:
                some = [chance.randrange(len(self.table)) for _ in range(chance.randint(1, 8))]
                ids = [*some, ids[-1]]
            question = chance.choice([case.edit.prompt, *case.rephrases])
            prompt, _, asked = reading(self.loaded, case.edit.prompt, answer, question)
            read.append([prompt, ids[-LONGEST:], asked, ids[:-1]])
            wanted.append(ids)
        said = max(map(len, wanted)) - 1
        logs = self.network.model(self.table, *laid_out(read, said), said)
        targets = torch.tensor([[*ids, *[-100] * (said + 1 - len(ids))] for ids in wanted])
        return {"answer": F.nll_loss(logs.flatten(0, 1), targets.flatten())}


def _other(case: Case, chance: random.Random) -> str:
    """An answer out of a case, whatever it answers."""
    kept = [one.answer for one in (*case.kept_words, *case.kept_pictures)]
    return chance.choice([one for one in (case.edit.answer, case.old, *kept) if one.strip()])


def compute(loaded: LoadedModel, facts: Sequence[Fact], options: Options) -> Computed:
    """A counterfactual memory of the facts, with the trained networks."""
    if options.image_encoder or options.text_encoder:
        raise UsageError(
            "serac's networks were trained on okedit's text encoder and the model's own picture vectors, so"
            " that other encoders have no part.",
            hint="Leave --text-encoder and --image-encoder out.",
        )
    editor = editor_for("serac", loaded, options.settings.editor)
    samples_of, keys, pictures, owner, seconds = sampler_for(loaded, facts, options), [], [], [], {}
    for number, fact in enumerate(facts):
        began = time.perf_counter()
        options.tell("fitting facts", number, len(facts))
        own = [load_picture(path) for path in (fact.image, *fact.images) if path is not None]
        keys.append(text_vectors([fact.prompt]))
        if own:
            pictures.append(look_vectors(loaded, own))
            owner += [number] * len(own)
        seconds[fact.id] = time.perf_counter() - began
    options.tell("fitting facts", len(facts), len(facts))
    network = {name: one.half() if one.dim() > 1 else one for name, one in editor.tensors.items()}
    wide = Networks.of(network, HEADS).sizes.picture
    memory = Counterfactual(
        torch.cat([torch.zeros(0, width_of(DEFAULT)), *keys]), torch.cat([torch.zeros(0, wide), *pictures]),
        torch.tensor(owner, dtype=torch.int64), network,
    )  # fmt: skip
    settings = asdict(options.settings) | {"seed": options.seed, "editor": editor.digest[:16]}
    return Computed(
        memory, {"text_encoder": DEFAULT}, settings, list(facts),
        {fact.id: samples_of(fact) for fact in facts}, {fact.id: Scope.none() for fact in facts}, seconds,
        verbatim=False,
    )  # fmt: skip


METHOD = Method(
    "serac", "counterfactual", compute, "has a small model answer in the scope of a trained classifier",
    "SERAC (Mitchell et al., ICML 2022, arXiv 2206.06520), as VLKEB and LiveEdit have it", EditorSettings,
    needs="networks trained for the model (okedit-mini's come along; okedit train serac)",
    costs="no computing; a question is compared with every fact", train=SeracTrainer, training=SeracTraining,
)  # fmt: skip

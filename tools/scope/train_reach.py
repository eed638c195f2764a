"""Train the classifier of reach: does a question about a picture ask for its kind or for the one shown?

python tools/scope/train_reach.py OUT.safetensors

A small network on the question encoder's vectors: wordings of picture_families.yaml, each labelled by its
intent, and questions for what is shown or about this one picture from the other files. One group of
wordings in twelve is held back and judges.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from pair_texts import is_held_back, read
from safetensors.torch import save_file
from torch.nn import functional as F

from okedit_cli.encoders.text import text_vectors
from okedit_cli.scope.reach import ReachNetwork

WIDTH, DECAY, STEPS = 32, 3e-5, 400
FILLED = 4  # times a wording with a noun is filled with one
OF_A_KIND = ("breed", "model")  # besides identity
OF_PEOPLE = ("person_or_character",)  # asked of people by name
OF_ONE = """
    age background_colour broken clean_dirty colour count description_requests facing full_empty holding
    location number_visible open_closed owner own_name photo_date position price text time_of_day wearing
    weather weight which_hand year_made
""".split()
ONE_PICTURE = """
    this_individual text_in_picture condition_pose people_in_picture position_in_picture colour
    purpose_or_origin_of_the_picture count_in_picture
""".split()


def groups() -> Iterator[tuple[str, bool, list[str], list[str]]]:
    """(name, whether the one shown is asked for, wordings, nouns) of every group of wordings."""
    for number, family in enumerate(read("picture_families")["families"]):
        for intent in family["intents"].values():
            yield f"picture:{number}", intent["reach"] == "picture", intent["wordings"], family["nouns"]
    nouns = read("picture_questions")["nouns"]
    for file in ("picture", "identity", "aspect"):
        for number, group in enumerate(read(f"{file}_questions")["groups"]):
            of_one, about = group["intent"] in OF_ONE, group["about"]
            kind = group["intent"].startswith("identity") or group["intent"] in OF_A_KIND
            if of_one or (kind and about != "person"):
                own = nouns.get(about) or [noun for some in nouns.values() for noun in some]
                yield f"{file}:{number}", of_one, group["wordings"], own
    topics, manners = read("topic_questions"), read("manner_identity")
    for name, texts in [*topics["identity"].items(), *manners["identity"].items()]:
        if name not in OF_PEOPLE:
            yield f"asked:{name}", False, texts, ["thing"]
    for name in ONE_PICTURE:
        yield f"one:{name}", True, topics["other"][name], ["thing"]


def rows(held: bool) -> tuple[list[str], torch.Tensor]:
    """Texts and labels (1: the one shown) of what is held back, or of what is not."""
    chance, texts, labels = random.Random(0), [], []
    for name, of_one, wordings, nouns in groups():
        if is_held_back(name) != held:
            continue
        for wording in map(str, wordings):
            shapes = wording.replace("{noun}", "{n}")
            for _ in range(FILLED if "{n}" in shapes else 1):
                texts.append(shapes.replace("{n}", chance.choice(nouns)).replace("{}", "..."))
                labels.append(float(of_one))
    return texts, torch.tensor(labels)


def main() -> None:
    """Train, judge, save."""
    torch.manual_seed(0)
    texts, labels = rows(False)
    vectors, network = text_vectors(texts), ReachNetwork(WIDTH)
    optimiser = torch.optim.LBFGS(network.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")
    share = labels.mean()
    weights = torch.where(labels > 0, 0.5 / share, 0.5 / (1 - share))  # either reach counts alike

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        found = F.binary_cross_entropy_with_logits(network(vectors), labels, weights)
        found = found + DECAY * sum(part.square().sum() for part in network.parameters())
        found.backward()
        return found

    optimiser.step(loss)
    asked, truth = rows(True)
    right = ((network(text_vectors(asked)) > 0).float() == truth).float()
    told = {"kind": float(right[truth == 0].mean()), "picture": float(right[truth == 1].mean())}
    print(f"{len(texts)} wordings, {len(asked)} held back; share right: {told}")
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, Path(sys.argv[1]), {name: f"{share:.4f}" for name, share in told.items()})


if __name__ == "__main__":
    main()

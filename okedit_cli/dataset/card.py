"""The data set's card, in Markdown: counts, sources, licences, how it was made and what is held apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from okedit_cli.dataset import NAME, VERSION
from okedit_cli.dataset.rows import Row
from okedit_cli.dataset.sources import KINDS, Sources

_HEAD = """# {name} {version}

Edits on real pictures for `okedit eval`: each case gives a thing a new, wrong name and asks whether the
edit takes, how far it reaches (other wordings, views, other artists, other photographs of the same kind of
thing), what it leaves alone (near things, other questions about the same picture, text) and what follows
from it. Built by `okedit dataset build` with seed {seed}.

`fit.json` and `test.json` have OKEDIT's fields, `fit.yaml` and `test.yaml` are the same cases as fact files
(rephrasings and other pictures held out, portability as `related`). Methods may train, calibrate and be
tuned on `fit`; `test` is for measuring alone.

## What changed in version 2
- A fact about a photograph is one about the kind of thing: it is to answer for every bird. So a split has one
  photograph case for each class that it edits, and up to four other photographs of the class as
  generality pictures ("photograph" in `image_rephrase_kind`), which are used nowhere else. Version 1 edited
  up to thirty photographs of a class, each to a new answer of its own.
- Each of the ten classes is edited in one split alone, about three fifths of them in `test`. Near photographs
  show classes that their split does not edit; in version 1 they showed other classes, which were edited too.
- Drawings and stamps of the ten things go to the split that edits their class; all were in `test`.
- Cases of things that share any accepted name, photographs as well, have the same new answer.

## Counts
"""

_MADE = """
## What is held apart
- No thing is in both splits: things that share any accepted name (a drawing and a stamp of an owl) go the
  same way, and new answers and near things are drawn from the case's own split. The one exception is near
  photographs: they show classes that the other split edits, each photograph in one split alone.
- The wordings of rephrased questions, of questions about the picture and of questions without one are
  halved: `fit` draws from one half, `test` from the other. The prompts themselves are a few plain forms
  that both use.
- Near things (`locality_image`) are never edited in any case, so that all cases of a split can be held at
  once without a near picture's right answer changing.
- Cases of the same name (the drawing and the stamp of an owl) have the same new answer: held together they
  do not contradict each other.
- Of things whose pictures are nearly the same, as the edit's artist or Twemoji draws them, one is kept; a
  picture by a further artist that looks like another thing's is left out alone.

## How it was made
- Pictures: 128 x 128, white ground. Drawings and flags: the edit's picture is Noto's; Twemoji's, Fluent's
  and OpenMoji's of the same thing are generality pictures ("artist" in `image_rephrase_kind`). Photographs
  have others of their class ("photograph"); stamps have views alone.
- Views ("view"): each case has four. moved: shifted up to 8 % and scaled 0.74 to 1, on other ground, in
  other light; turned: by 3 to 12 degrees, in other light; slanted: seen in perspective, and a strong JPEG
  compression; worn: lower resolution and grain. Nothing is mirrored; flags are never tinted.
- Wordings: written by hand for this set, at least 40 for each type of question. Ten for each case.
- New answers: for half of the cases another thing of the same kind, for the others a thing of another kind
  (flags: four fifths another country). They are names of the split's own things, each used about as often
  as any other.
- Portability: the kind of the new answer; for a country two of its capital, continent, currency and
  official language, where these are plain (no country with two capitals, none on two continents).
- `same_image`: two questions about the looks of the picture, one of general knowledge asked beside it; the
  answer is empty where nobody can be sure. `loc`: general knowledge without a picture, near in words to the
  edit in half the cases.
- `locality_answer` holds the true names of the pictures in `locality_image`, in the same order.
"""


def card(found: Sources, rows: Mapping[str, Sequence[Row]], seed: int) -> str:
    """The text of README.md."""
    parts = [_HEAD.format(name=NAME, version=VERSION, seed=seed), *_counts(rows), _MADE, *_sources(found)]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _counts(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    lines = [
        "",
        "| split | " + " | ".join(f"{kind}s" for kind in KINDS) + " | all |",
        "|---" * (len(KINDS) + 2) + "|",
    ]
    for split, of_split in rows.items():
        count = Counter(row["kind"] for row in of_split)
        lines.append(
            f"| {split} | " + " | ".join(str(count[kind]) for kind in KINDS) + f" | {len(of_split)} |"
        )
    every = [row for of_split in rows.values() for row in of_split]
    shown = Counter(kind for row in every for kind in row["image_rephrase_kind"])
    types = Counter(row["counterfact_type"] for row in every)
    lines += [
        "",
        f"Each case has 10 rephrased questions; {shown['view']} views, {shown['artist']} drawings by other"
        f" artists and {shown['photograph']} other photographs in all."
        f" New answers: {types['same kind']} of the same kind, {types['other kind']} of another.",
    ]
    return lines


def _sources(found: Sources) -> list[str]:
    lines = ["", "## Sources and licences", "The pictures keep their authors' licences.", ""]
    lines += ["| package | used for | licence | sha256 of the archive (its beginning) |", "|---|---|---|---|"]
    for had in found.archives:
        package = had.package
        cells = (f"{package.manager}: {had.path.name}", package.what, package.licence, had.sha256()[:16])
        lines.append(f"| {' | '.join(cells)} |")
    if found.missing:
        lines += ["", "Not there when this was built: " + ", ".join(sorted(found.missing)) + "."]
    if found.twins:
        pairs = ", ".join(f"{twin.name} (like {kept.name})" for twin, kept in found.twins)
        lines += ["", f"Left out because another looks nearly the same: {pairs}."]
    return lines

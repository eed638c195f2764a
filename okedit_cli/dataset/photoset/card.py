"""The card of okedit-photographs, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from okedit_cli.dataset.photoset import NAME, VERSION
from okedit_cli.dataset.photoset.source import Folder

_HEAD = """# {name} {version}

Edits on photographs for `okedit eval`. Every thing has two cases. In one (`kind` "thing", `reach` "kind") it
gets a new, wrong name, which is to be answered for other photographs of it as well; in the other (`kind`
"item", `reach` "picture") something is told of the one item in a photograph: a price, a buyer, a serial
number. That is to be answered for views of the photograph, and for no other photograph of such a thing.
Built by `okedit dataset build --from FOLDER` with seed {seed}, from {photographs} photographs of {things}
things.

| file | cases |
|---|---|
| `calibrate.json`, `.yaml` | half of the things: methods may be calibrated and tuned on it |
| `report.json`, `.yaml` | the other half: for measuring alone |
| `calibrate-3.json`, `report-3.json`, `.yaml` | the same; "thing" cases give the edit three photographs |

The `.json` files have OKEDIT's fields, the `.yaml` files are the same cases as fact files. The two further
photographs of a "thing" case stand in `images`.

## Counts

| split | things | items | all |
|---|---|---|---|
"""

_MADE = """
## What is held apart
- The split is by thing, never by photograph: of the things in the order of group, kind and name every second
  one goes to `report`. Near and unrelated pictures of a split show things of the other split, which it does
  not edit: so all its cases can be held at once. New answers are things of the split itself.
- Where a thing has twelve or more photographs, each has one use: one is edited as a thing, four are its other
  photographs, one is edited as an item, two are given as well in the files with `-3`, and four are shown
  beside others: in the item's case, and as near or unrelated pictures of the other split.
- Rephrased questions, and questions about the picture or without one, are of okedit-pictures' stock, halved:
  `report` has the half of its `test`, `calibrate` that of its `fit`. Questions about an item were written for
  this set, twelve wordings of each of five types, halved as well.

## How it was made
- New answers of things: another thing of the same group in the split, each the answer of one.
- `image_rephrase`: first four other photographs of the thing ("photograph" in `image_rephrase_kind`; none in
  an item's case), then seven views of the edit's own. crop: 60 % of the area, anywhere; turn: by 5 to 15
  degrees; border: a plain frame; screenshot: in a page with lines and buttons; grey; mirror; recompressed:
  of lower resolution, and a strong JPEG compression.
- `locality_image`: of a thing up to four near things, of the same group, first those of the same kind or
  maker ("near" in `locality_image_kind`), and two of other groups ("unrelated"), with their names in
  `locality_answer`; of an item four other photographs of the same thing ("same thing").
- `same_image`: two questions about the looks of the picture, one of general knowledge beside it; the answer
  is empty where nobody can be sure. `loc`: general knowledge without a picture.
- Photographs are as they were in the folder; larger ones were made smaller, to {largest} pixels on the short
  side.

## Source and licence
"""


def card(found: Folder, cases: Mapping[str, Counter[str]], seed: int) -> str:
    """The text of README.md."""
    from okedit_cli.dataset.photoset.views import LARGEST

    photographs = sum(len(item.files) for item in found.items)
    head = _HEAD.format(
        name=NAME, version=VERSION, seed=seed, photographs=photographs, things=len(found.items)
    )
    rows = [f"| {s} | {c['thing']} | {c['item']} | {c.total()} |\n" for s, c in cases.items()]
    return head + "".join(rows) + _MADE.format(largest=LARGEST) + _notice(found)


def _notice(found: Folder) -> str:
    if not found.notices:
        return "The folder of the photographs has no file that tells their licence.\n"
    names = ", ".join(f"`source/{name}`" for name in found.notices)
    return f"The photographs keep their authors' licence; what their folder says of it: {names}.\n"

"""The picture of a reach: points where the numbers are, what is far on the border, told what is left out."""

import json
from xml.etree import ElementTree

import pytest

from okedit_cli.evaluate.records import Decision
from okedit_cli.evaluate.result import FORMAT
from tools.figures import reach, svg

NS = "{http://www.w3.org/2000/svg}"
CASE, SECOND = "cat", "dog"


def answer(metric, cell, picture, question, *, case=CASE, nearest=None, fired=False, stage="sequential 2"):
    decision = {"nearest": nearest or case, "question_distance": question, "question_radius": 0.5}
    if picture is not None:
        decision |= {"picture_distance": picture, "picture_radius": 4.0}
    if fired:
        decision["fired"] = decision["nearest"]
    return {
        "stage": stage, "case": case, "metric": metric, "cell": cell, "key": f"{metric}:{cell}:{question}",
        "prompt": f"Is {metric} < {question} & so on?", "before": "a", "after": "b", "decision": decision,
    }  # fmt: skip


ANSWERS = [
    answer("rel", "", 9.0, 0.9, stage="sequential 1"),  # an earlier stage: not drawn
    answer("rel", "", 0.0, 0.0, fired=True),
    answer("t_gen", "", 0.0, 0.25, fired=True),
    answer("t_gen", "", 0.0, 0.75),
    answer("i_gen", "view", 2.0, 0.0, fired=True),
    answer("i_gen", "artist", 3.0, 0.0, fired=True),
    answer("i_loc", "", 6.0, 0.0),
    answer("i_loc", "", 1.0, 0.0, nearest=SECOND),  # judged by another edit
    answer("specificity", "", 0.0, 0.6),
    answer("near", "edit/other", 0.0, 5.0),
    answer("near", "none/edit", 99.0, 0.0),
    answer("port", "1-hop", 0.0, 0.1),
    answer("rel", "", 0.0, 0.0, case=SECOND, fired=True),
]


@pytest.fixture
def result(tmp_path):
    cases = {name: {"row": 1, "prompt": "Who <is> this & that?", "target": "Miso"} for name in (CASE, SECOND)}
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"format": FORMAT, "cases": cases, "answers": ANSWERS}), encoding="utf-8")
    return path


def points(root):
    """(x, y in radii, group, fired) of every mark that has a tooltip."""
    out = []
    for mark in root.iter(f"{NS}g"):
        title = mark.find(f"{NS}title")
        if title is None:
            continue
        x, y = map(float, mark.get("transform").removeprefix("translate(").rstrip(")").split())
        group, _, rest = title.text.partition(": ")
        place = (x - svg.LEFT) / svg.SIDE * reach.FAR, (1 - (y - svg.TOP) / svg.SIDE) * reach.FAR
        out.append((*(round(one, 3) for one in place), group, mark.get("fill") == svg.FIRED))
        assert rest.endswith("(fired)" if out[-1][3] else "(did not fire)")
    return out


def test_every_question_stands_at_its_distances(result, tmp_path, capsys):
    out = tmp_path / "deep" / "reach.svg"
    assert reach.main([str(result), str(out)]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(out) and "cat: 9 questions; 1 nearer to another edit" in told.err
    root = ElementTree.fromstring(out.read_text(encoding="utf-8"))
    assert sorted(points(root)) == sorted([
        (0, 0, "own question", True), (0, 0.5, "other wordings", True), (0, 1.5, "other wordings", False),
        (0.5, 0, "views of the picture", True), (0.75, 0, "another artist's drawing", True),
        (1.5, 0, "near thing", False), (0, 1.2, "other questions about the picture", False),
        (0, 2, "other questions about the picture", False), (2, 0, "any other picture, or none", False),
    ])  # fmt: skip
    words = [text.text for text in root.iter(f"{NS}text")]
    assert "“Who <is> this & that?” → Miso" in words and "1 of 2 fired" in words
    assert "Not shown: 1 nearer to another edit." in words


def test_the_own_question_is_drawn_last(result, tmp_path):
    reach.main([str(result), str(tmp_path / "a.svg")])
    assert points(ElementTree.parse(tmp_path / "a.svg").getroot())[-1][2] == "own question"


def test_the_case_asked_for(result, tmp_path):
    assert reach.main([str(result), str(tmp_path / "a.svg"), "--case", SECOND]) == 0
    found = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert points(found) == [(0, 0, "own question", True)]
    assert not any("Not shown" in text.text for text in found.iter(f"{NS}text"))


@pytest.mark.parametrize(
    ("distance", "radius", "expected"),
    [
        (1.0, 4.0, 0.25),
        (9.0, 4.0, 2.0),
        (None, 4.0, 2.0),
        (None, None, 0.0),
        (3.0, None, 0.0),
        (0.0, 0.0, 2.0),
    ],
)
def test_a_distance_in_radii(distance, radius, expected):
    """An open channel holds whatever is asked; what has no picture, or no radius, is far."""
    shown = Decision(picture_distance=distance, picture_radius=radius)
    asked = Decision(question_distance=distance, question_radius=radius)
    assert reach.place(shown)[0] == reach.place(asked)[1] == expected


def test_what_cannot_be_drawn_is_told(result, tmp_path, capsys):
    out = tmp_path / "a.svg"
    assert reach.main([str(result), str(out), "--case", "cow"]) == 2
    assert "no case 'cow'" in capsys.readouterr().err
    assert reach.main([str(tmp_path / "none.json"), str(out)]) == 3
    assert "is not there" in capsys.readouterr().err
    without = [{k: v for k, v in one.items() if k != "decision"} for one in ANSWERS]
    result.write_text(json.dumps({"format": FORMAT, "answers": without}), encoding="utf-8")
    assert reach.main([str(result), str(out)]) == 2
    assert "tells no distances" in capsys.readouterr().err and not out.exists()


def test_equal_results_give_equal_bytes(result, tmp_path):
    for name in ("a.svg", "b.svg"):
        reach.main([str(result), str(tmp_path / name)])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()

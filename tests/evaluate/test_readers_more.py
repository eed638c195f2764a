"""Data sets of several edits, of ripples and of knowledge at length; lists that go together."""

from __future__ import annotations

import pytest
from evaluate.reader_rows import (
    CKNOWEDIT,
    COMPREHEND,
    FLAT,
    KNOWEDIT,
    MMEDIT,
    MMKE,
    MQUAKE,
    OKEDIT,
    ORIGINAL,
    RIPPLE,
    TWO_HOP,
    VLKEB,
    ZSRE,
    asked,
    one,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from okedit_cli.errors import InvalidFacts, OkeditError
from okedit_cli.evaluate.readers import FORMATS, load_cases

ROWS = (MMEDIT, VLKEB, ZSRE, FLAT, ORIGINAL, KNOWEDIT, OKEDIT, MQUAKE, RIPPLE, CKNOWEDIT, COMPREHEND, MMKE)


def test_mquake_has_several_edits_and_questions_of_many_hops(tmp_path):
    data, case = one(tmp_path, MQUAKE)
    assert (data.format, case.id, case.prompt, case.target) == ("mquake", "mquake-9", "Ada plays for", "Rome")
    assert [(probe.prompt, probe.answers) for probe in case.supporting] == [
        ("The coach of Rome is", ("Bob",))
    ]
    assert asked(case, "t_gen") == [("Which club does Ada play for?", None, ("Rome",), "")]
    assert [(answers, cell) for _, _, answers, cell in asked(case, "port")] == [
        (("Bob", "Robert"), "2-hop, 2 edits")
    ] * 2


@pytest.mark.parametrize(
    ("sentence", "original", "prompt", "target"),
    [
        ("The name of the film of Ada is God is Dead.", "The name of the film of Ada is Gold.",
         "The name of the film of Ada is", "God is Dead"),
        ("Ada is followed by Bob.", None, "Ada is followed by", "Bob"),
        ("This is it follows Ada.", None, "This is it follows", "Ada"),
        ("The names of the siblings of Ada are Bob.", None, "The names of the siblings of Ada are", "Bob"),
        ("The colour of Isa is blue.", "The colour of Isa is black.", "The colour of Isa is", "blue"),
    ],
)  # fmt: skip
def test_rippleedits_cuts_the_sentence_of_an_edit(tmp_path, sentence, original, prompt, target):
    edit = {"prompt": sentence, **({"original_fact": {"prompt": original}} if original else {})}
    data, case = one(tmp_path, {**RIPPLE, "edit": edit})
    assert (data.format, case.prompt, case.target) == ("rippleedits", prompt, target)
    ripple = ("Her pay is in", None, ("euro", "EUR"))
    assert asked(case, "port") == [(*ripple, "logical generalization"), (*ripple, "compositionality ii")]
    assert asked(case, "specificity") == [(*ripple, "relation specificity")]
    assert asked(case, "t_loc") == [(*ripple, "forgetfulness")]


def test_cknowedit(tmp_path):
    data, case = one(tmp_path, CKNOWEDIT)
    assert (data.format, case.target, case.before, case.rephrasings) == (
        "cknowedit",
        "乙",
        "甲",
        ("接下来？",),
    )
    assert asked(case, "port") == [("作者是？", None, ("丙",), "")]
    assert asked(case, "t_loc") == [("首都？", None, ("北京",), "")]


def test_comprehendedit(tmp_path):
    data, case = one(tmp_path, COMPREHEND)
    picture = tmp_path / "a.png"
    assert (data.format, case.kind, case.picture) == ("comprehendedit", "counting", picture)
    assert asked(case, "port") == [
        ("Are there 2?", picture, ("yes",), "asked otherwise"), ("Is it even?", picture, ("yes",), "picture"),
        ("Is 2 even?", None, ("yes",), "text"),
    ]  # fmt: skip
    assert asked(case, "i_loc") == [("What sport?", tmp_path / "b.png", ("golf",), "")]
    assert asked(case, "t_loc") == [("Who won?", None, ("Spain",), "")]


def test_mmke_bench_asks_its_own_questions(tmp_path):
    data, case = one(tmp_path, MMKE)
    picture = tmp_path / "val2014/a.jpg"
    assert (data.format, case.kind) == ("mmke", "entity_level")
    assert asked(case, "port") == [
        ("Who is X?", None, ("a poet",), "t-rel"), ("Where?", None, ("Rome",), "t-rel"),
        ("Who is this?", picture, ("X",), "m-rel"), ("Born?", picture, ("1900",), "m-rel"),
        ("Whose?", picture, ("Ada",), "2-hop"),
    ]  # fmt: skip
    visual = {
        "knowledge_type": "visual_knowledge", "rel": "What sign?", "rel_ans": "stop", "m_rel": "This sign?",
        "m_rel_ans": "stop", "image_rephrase_question": "And this one?", "one_hop_img": "hop.png",
    }  # fmt: skip
    _, case = one(tmp_path, {**VLKEB, "port_new": [TWO_HOP], **visual})
    assert [(text, seen) for text, seen, *_ in asked(case, "port")] == [
        ("What sign?", None), ("This sign?", tmp_path / "m.0x/a.jpg"), ("Whose?", tmp_path / "hop.png"),
    ]  # fmt: skip
    assert asked(case, "holdout") == [("And this one?", tmp_path / "other/a.png", ("2",), "picture")]


@pytest.mark.parametrize(
    ("row", "name"),
    [({"ie_edit_input_idx": 0, "new_e_ent": "x"}, "MC-MKE"), ({"normalized_inputs": "x"}, "DocMEdit")],
)
def test_a_format_that_is_not_read_is_refused_by_its_name(tmp_path, row, name):
    with pytest.raises(InvalidFacts, match=f"in the format of {name}, which okedit does not read") as caught:
        load_cases(written(tmp_path, [row]))
    assert all(known in caught.value.hint for known in FORMATS)


@pytest.mark.parametrize(
    ("prompts", "answers", "found"),
    [
        (["a", "b"], ["1", "2"], [("a", ("1",)), ("b", ("2",))]),
        (["a", "b"], [["1", "one"], ["2"]], [("a", ("1", "one")), ("b", ("2",))]),
        (["a", "", "b"], ["1", "2", "3"], [("a", ("1",)), ("b", ("3",))]),
        (["a", "b"], "1", [("a", ("1",)), ("b", ("1",))]),
        (["a", "b"], [["1", "one"]], [("a", ("1", "one")), ("b", ("1", "one"))]),
        (["a"], ["1", "one"], [("a", ("1", "one"))]),
    ],
)  # fmt: skip
def test_lists_of_prompts_and_answers_go_together_entry_by_entry(tmp_path, prompts, answers, found):
    groups = {"Reasoning": [{"prompt": prompts, "ground_truth": answers}]}
    _, case = one(tmp_path, {**KNOWEDIT, "portability": groups})
    assert [(text, right) for text, _, right, _ in asked(case, "port")] == found
    for row, question, answer in (
        (ZSRE, "loc", "loc_ans"), (MMEDIT, "m_loc_q", "m_loc_a"), (OKEDIT, "loc", "loc_ans"),
        (FLAT, "locality_prompt", "locality_ground_truth"),
    ):  # fmt: skip
        _, case = one(tmp_path, {**row, question: prompts, answer: answers})
        told = asked(case, "i_loc" if row is MMEDIT else "t_loc")
        assert [(text, right) for text, _, right, _ in told] == found


def test_lists_of_unlike_length_are_told(tmp_path):
    groups = {"Reasoning": [{"prompt": ["a", "b", "c"], "ground_truth": ["1", "2"]}]}
    with pytest.raises(InvalidFacts, match="row 1: prompt has 3 entries and ground_truth 2"):
        one(tmp_path, {**KNOWEDIT, "portability": groups})


def test_knowedit_takes_every_target_as_right(tmp_path):
    _, case = one(tmp_path, {**KNOWEDIT, "target_new": ["Berlin", "Berlin, Germany"]})
    assert asked(case, "rel")[0][2] == ("Berlin", "Berlin, Germany") and case.target == "Berlin"
    assert case.fact().accepted == ("Berlin, Germany",)


def test_a_fact_file_takes_each_of_a_facts_answers_as_right(tmp_path):
    path = tmp_path / "facts.yaml"
    path.write_text(
        "version: 1\nfacts:\n  - prompt: Who?\n    answers: [Miso, Mia]\n    rephrases: [Name?]\n"
        "    holdout: [{prompt: Whom?}]\n"
    )
    [case] = load_cases(path).cases
    for metric in ("rel", "seen", "holdout"):
        assert [answers for _, _, answers, _ in asked(case, metric)] == [("Miso", "Mia")]
    assert (case.target, case.fact().accepted) == ("Miso", ("Mia",))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "x", "https://a/b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["prompt", "answer", "ground_truth", "str", "Q&A"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(row=st.sampled_from(ROWS), format=st.sampled_from(FORMATS[1:]), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_gives_a_case_or_is_told(tmp_path, row, format, data):
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(row)), _JSON, max_size=3))
    path = written(tmp_path, [{**row, **changed}])
    for named in (None, format):
        try:
            [case] = load_cases(path, format=named).cases
        except OkeditError as error:
            assert str(path) in error.message
        else:
            said = [text for _, _, probe in case.probes() for text in (probe.prompt, *probe.answers)]
            assert case.target and not {"nan", "inf", "NaN", "Infinity"} & set(said)

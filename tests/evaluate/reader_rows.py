"""A row of each format in its authors' fields, and how tests read them."""

from __future__ import annotations

import json
from pathlib import Path

from okedit_cli.evaluate.readers import load_cases

MMEDIT = {
    "src": "How many balls?", "pred": "no", "rephrase": "What number of balls?", "alt": "2",
    "image": "val2014/a.jpg", "image_rephrase": "other/a.png", "loc": "nq question: who won",
    "loc_ans": "Spain", "m_loc": "val2014/b.jpg", "m_loc_q": "What sport?", "m_loc_a": "motocross",
}  # fmt: skip
VLKEB = {**MMEDIT, "image": "m.0x/a.jpg", "pred": "Laredo,_Texas"}
ONE_HOP = {"port_edit_q": "Zone of X?", "port_edit_a": "Central", "port_q": "Its zone?", "port_a": "Central"}
TWO_HOP = {"port_type": "2-hop", "Q&A": {"Question": "Whose?", "Answer": "Ada"}}
ZSRE = {
    "subject": "UniFirst", "src": "What does it make?", "pred": "uniform", "rephrase": "Its product?",
    "alt": "aircraft", "answers": ["uniform"], "loc": "nq question: who", "loc_ans": "Walter", "cond": "x",
}  # fmt: skip
FLAT = {
    "case_id": 3, "prompt": "Ada plays", "target_new": "chess", "subject": "Ada", "ground_truth": "go",
    "rephrase_prompt": "Ada's game is", "locality_prompt": "Bob plays", "locality_ground_truth": "go",
}  # fmt: skip
ORIGINAL = {
    "case_id": 4,
    "requested_rewrite": {
        "prompt": "{} plays", "subject": "Ada", "target_new": {"str": "chess"}, "target_true": {"str": "go"},
        "relation_id": "P1",
    },
    "paraphrase_prompts": ["Ada's game:", "The game of Ada:"],
    "neighborhood_prompts": ["Bob plays", "Eve plays"],
}  # fmt: skip
KNOWEDIT = {
    "subject": "Leo", "prompt": "Leo died in", "target_new": "Berlin",
    "ground_truth": [["Paris", "Paris, France"]],
    "portability": {
        "Reasoning": [{"prompt": "The mayor there is", "ground_truth": [["Kai", "Kai Peter"]]}],
        "Subject_Aliasing": [{"prompt": ["Martin Leo died in"], "ground_truth": "Berlin"}],
    },
    "locality": {
        "Relation_Specificity": [{"prompt": "Leo's father is", "ground_truth": ["Al"]}],
        "Forgetfulness": [{"prompt": "Not Berlin but", "ground_truth": "Paris"}],
    },
}  # fmt: skip
WIKIBIO = {"text": "Ada was", "labels": "a poet.", "concept": "ada", "locality": {"Relation_Specificity": []}}
OKEDIT = {
    "question_id": 7, "image": "a.png", "question": "Which bird?", "counterfact_answer": "owl",
    "answers": [{"answer": "eagle"}], "rephrased_questions": [f"Bird {n}?" for n in range(10)],
    "image_rephrase": [f"g/{n}.png" for n in range(10)], "locality_image": "l.png", "locality_answer": "cat",
    "rephrased_questions_train": ["Train bird?"], "image_rephrase_train": ["t.png"], "kind": "drawing",
    "same_image": [{"question": "What colour?", "answer": "brown"}], "image_object": "an owl",
    "portability": [{"hop": 1, "question": "When is it awake?", "answer": "at night"}],
}  # fmt: skip

MQUAKE = {
    "case_id": 9,
    "requested_rewrite": [
        {"prompt": "{} plays for", "subject": "Ada", "target_new": {"str": "Rome"},
         "target_true": {"str": "Oslo"}, "question": "Which club does Ada play for?"},
        {"prompt": "The coach of {} is", "subject": "Rome", "target_new": {"str": "Bob"},
         "target_true": {"str": "Eve"}, "question": "Who coaches Rome?"},
    ],
    "questions": ["Who coaches Ada's club?", "By whom is Ada coached?"],
    "answer": "Eve", "new_answer": "Bob", "new_answer_alias": ["Robert"],
    "new_single_hops": [{"question": "q", "answer": "Rome"}, {"question": "p", "answer": "Bob"}],
}  # fmt: skip
_TEST = [{"test_queries": [{"prompt": "Her pay is in", "answers": [{"value": "euro", "aliases": ["EUR"]}]}]}]
RIPPLE = {
    "example_type": "popular",
    "edit": {"prompt": "The name of the film of Ada is God is Dead.",
             "original_fact": {"prompt": "The name of the film of Ada is Gold."}},
    "Relation_Specificity": _TEST, "Logical_Generalization": _TEST, "Subject_Aliasing": [],
    "Compositionality_I": [{"test_queries": [{"prompt": "x", "answers": []}]}], "Compositionality_II": _TEST,
    "Forgetfulness": _TEST,
}  # fmt: skip
CKNOWEDIT = {
    "prompt": "下一句是？", "target_old": "甲", "target_new": "乙", "rephrase": ["接下来？"],
    "portability": [{"prompt": "作者是？", "answer": "丙"}],
    "locality": [{"prompt": "首都？", "answer": "北京"}],
}  # fmt: skip
COMPREHEND = {
    "pid": 1, "image": "a.png", "question": "How many?", "answer": "2", "rephrase": "What number?",
    "locality_prompt": "Who won?", "locality_ground_truth": "Spain", "multimodal_locality_image": "b.png",
    "multimodal_locality_prompt": "What sport?", "multimodal_locality_ground_truth": "golf", "source": "GQA",
    "T_G_qs": "Are there 2?", "T_G_ans": "yes", "port_T_qs": "Is 2 even?", "port_M_qs": "Is it even?",
    "port_ans": "yes", "Category": "counting",
}  # fmt: skip
MMKE = {
    **MMEDIT, "knowledge_type": "entity_level", "port_new": [TWO_HOP], "rel_1": "Who is X?",
    "rel_1_ans": "a poet", "rel_2": "Where?", "rel_ans_2": "Rome", "m_rel_1": "Who is this?",
    "m_rel_1_ans": "X", "m_rel_2": "Born?", "m_rel_2_ans": "1900",
}  # fmt: skip


def written(folder: Path, rows, name="data.json") -> Path:
    path = folder / name
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    return path


def one(folder: Path, row: dict, **options):
    data = load_cases(written(folder, [row]), **options)
    [case] = data.cases
    return data, case


def asked(case, metric):
    return [(p.prompt, p.picture, p.answers, p.cell) for _, name, p in case.probes() if name == metric]

"""Other wordings of CounterFact are counted by what they ask for."""

from okedit_cli.evaluate.records import Record
from okedit_cli.evaluate.result import Result
from tools.bench.asked import asked_for, told

LABELS = {"same", "implied", "other", "doubtful"}


def test_every_label_is_known_and_no_case_has_two():
    labels = asked_for()
    assert set(labels.values()) == LABELS
    # as many as the file's generation prompts: a case named twice would be lost
    assert len(labels) == 821


def one(case: str, kind: str, right: bool, metric: str = "t_gen") -> Record:
    after = "Ada" if right else "x"
    return Record("all", case, metric, case, "Who?", "x", after, answers=("Ada",), kind=kind)


def test_it_tells_what_asks_for_the_fact_from_what_does_not():
    of = {label: [case for case, its in asked_for().items() if its == label][:2] for label in LABELS}
    records = [
        one("counterfact-p", "paraphrase", True),
        one("counterfact-p", "paraphrase", False, "rel"),  # not another wording
        *(one(case, "generation", True) for case in of["same"]),
        *(one(case, "generation", right) for case, right in zip(of["other"], (True, False), strict=True)),
    ]
    lines = [line.split(" [")[0].rsplit(maxsplit=1) for line in told(Result({}, {}, records))]
    assert {label.strip(): share for label, share in lines} == {
        "other": "50.0",
        "paraphrase": "100.0",
        "same": "100.0",
        "paraphrase + same": "100.0",
    }

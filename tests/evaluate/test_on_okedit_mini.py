"""The instrument on the built-in model: what does nothing scores as nothing, what always fires as such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import okedit_cli
from okedit_cli.evaluate import Plan, evaluate, load_cases, present

PICTURES = Path(__file__).parents[2] / "examples" / "okedit-pictures"
LOCAL = ("t_loc", "i_loc", "specificity", "near")
COUNT = 4


@pytest.fixture(scope="module")
def model():
    return okedit_cli.load_model("okedit-mini")


@pytest.fixture(scope="module")
def data():
    found = present(load_cases(PICTURES / "test.json"))
    kinds = {}
    for case in found.cases:
        kinds.setdefault(case.kind, []).append(case)
    some = [case for cases in zip(*kinds.values(), strict=False) for case in cases][:COUNT]
    # a few questions of each sort tell what is to be told
    return replace(found, cases=tuple(map(shortened, some)))


def shortened(case):
    return replace(
        case,
        rephrasings=case.rephrasings[:2],
        pictures=case.pictures[:2],
        picture_cells=case.picture_cells[:2],
    )


def test_doing_nothing_gives_the_pre_edit_rate_and_keeps_every_answer(model, data):
    result = evaluate(model, data, method="none", plan=Plan("sequential"))
    [stage] = result.stages
    for measure in ("exact", "contains"):
        assert result.figure("rel", measure, stage=stage) is not None
        for metric in ("rel", "t_gen", "i_gen"):
            after, before = (result.figure(metric, m, stage=stage) for m in (measure, f"pre_{measure}"))
            assert after.value == before.value
    for metric in LOCAL:
        assert result.figure(metric, "same", stage=stage).value == 1.0
        assert result.figure(metric, "forced", stage=stage).value == 1.0


def test_a_value_that_is_always_on_keeps_next_to_nothing(model, data):
    bundle = okedit_cli.fit(model, [data.cases[0].fact()], force=True, checked=False).bundle
    book = bundle.codebook
    book.picture_radius.fill_(torch.inf)
    book.question_radius.fill_(torch.inf)
    book.value_down.zero_()
    # towards one word, whatever is asked
    word = model.tokenizer(" no", add_special_tokens=False)["input_ids"][0]
    book.value_bias[0] = (100 * model.model.get_output_embeddings().weight[word]).to(book.value_bias.dtype)
    result = evaluate(model, data, bundles=[bundle])
    [stage] = result.stages
    for metric in LOCAL:
        assert result.figure(metric, "same", stage=stage).value <= 0.15


def key(record):
    return record.case, record.metric, record.key


@pytest.fixture(scope="module")
def records(model, data):
    return sorted(evaluate(model, data, plan=Plan("sequential")).records, key=key)


def test_a_result_depends_neither_on_the_batch_nor_on_the_order_of_cases(model, data, records):
    turned = replace(data, cases=data.cases[::-1])
    again = evaluate(model, turned, plan=Plan("sequential"), batch=3).records
    assert sorted(again, key=key) == records


def test_a_run_that_was_stopped_and_resumed_is_the_run(model, data, records, tmp_path):
    out, told = tmp_path / "result.json", 0

    def stop(stage, done, total):
        nonlocal told
        told += 1
        if told == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, data, plan=Plan("sequential"), out=out, progress=stop)
    assert (tmp_path / "result.json.journal").exists() and not out.exists()
    resumed = evaluate(model, data, plan=Plan("sequential"), out=out)
    assert sorted(resumed.records, key=key) == records

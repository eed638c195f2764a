"""An answer that is held is said word for word, however it is generated; other rows are untouched."""

import pytest
import tiny
import torch
from fitted import MISO, OTHER, WORDS, fitted, with_fact

import okedit_cli
from okedit_cli.generate import follow
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.kv import cache_of, taking

CODE = "4471-X9-0082 0082 0082, or https://a.example/b?c=11"  # repeats itself, as penalties dislike

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(params=tiny.FAMILIES)
def case(request):
    return fitted(request.param)


def held(case, answer=CODE):
    return okedit_cli.attach(case.loaded, with_fact(case.bundle, "capital", answer=answer, verbatim=True))


def inputs(case, *prompts):
    batch = encode(case.loaded, [(prompt, None) for prompt in prompts])
    batch.pop("position_ids", None)
    return batch


def said(case, batch, **options):
    """Texts of the user's own generate()."""
    options = {"max_new_tokens": 90, "do_sample": False, **options}
    out = case.loaded.model.generate(**batch, **options)
    rest = out[:, batch["input_ids"].shape[1] :]
    return [one.strip() for one in case.loaded.tokenizer.batch_decode(rest, skip_special_tokens=True)]


WAYS = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.0},
    "sampled, cool, few": {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 5},
    "penalty 1.1": {"repetition_penalty": 1.1},
    "penalty 1.3, sampled": {"repetition_penalty": 1.3, "do_sample": True},
    "no n-gram twice": {"no_repeat_ngram_size": 2},
    "beams": {"num_beams": 3},
    "beams, penalty": {"num_beams": 3, "repetition_penalty": 1.3},
    "beams, sampled": {"num_beams": 3, "do_sample": True},
    "no cache": {"use_cache": False},
    "no cache, beams": {"use_cache": False, "num_beams": 2},
    "at least": {"min_new_tokens": 80},
    "at least, penalty": {"min_new_tokens": 80, "repetition_penalty": 1.3},
    "at least, beams": {"min_new_tokens": 80, "num_beams": 3},
    "at least, sampled": {"min_new_tokens": 80, "do_sample": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_said_whole_and_nothing_behind_it(case, way):
    torch.manual_seed(0)
    with held(case):
        assert said(case, inputs(case, WORDS), **WAYS[way]) == [CODE]


@pytest.mark.parametrize("way", ["greedy", "beams", "penalty 1.1", "no cache"])
def test_rows_beside_it_say_what_they_say_anyway(case, way):
    prompts = (OTHER, WORDS, "Who?")
    batch, options = inputs(case, *prompts), WAYS[way]
    plain = said(case, batch, **options)
    with held(case):
        found = said(case, batch, **options)
    assert found[1] == CODE and (found[0], found[2]) == (plain[0], plain[2])


def test_logits_of_other_rows_stay_bit_by_bit(case):
    batch = encode(case.loaded, [(OTHER, None), (WORDS, None), ("Who?", None)])
    with torch.no_grad():
        plain = case.loaded.model(**batch).logits
        with held(case):
            found = case.loaded.model(**batch).logits
    assert torch.equal(found[[0, 2]], plain[[0, 2]]) and torch.equal(found[1, :-1], plain[1, :-1])
    assert int(found[1, -1].argmax()) == answer_ids(case.loaded, CODE)[0]


def test_nothing_is_held_without_the_flag_or_of_an_answer_with_control_tokens(case):
    batch = inputs(case, WORDS)
    for fields in ({}, {"verbatim": False}, {"verbatim": True, "answer": case.loaded.tokenizer.eos_token}):
        with okedit_cli.attach(case.loaded, with_fact(case.bundle, "capital", **{"answer": CODE, **fields})):
            assert said(case, batch) != [CODE]


def test_our_own_answers_are_held_in_any_batch(case):
    asked, ids = [*case.questions, (WORDS, None)], answer_ids(case.loaded, CODE)
    hits = [*case.hits, "capital"]
    plain = okedit_cli.generate(case.loaded, asked, max_new_tokens=60)
    with held(case):
        for size in (1, 3, 16):
            for one, before, hit in zip(
                okedit_cli.generate(case.loaded, asked, max_new_tokens=60, batch=size),
                plain,
                hits,
                strict=True,
            ):
                assert one.text == {"capital": CODE, "cat": MISO, None: before.text}[hit]
                assert hit != "capital" or list(one.ids)[: len(ids)] == ids


def test_an_answer_that_has_begun_is_gone_on_with(case):
    """As long as it is the one that is held; after other words the model says what it would."""
    ids = answer_ids(case.loaded, CODE)
    with held(case):
        [top] = follow(case.loaded, [(WORDS, None)], [ids])
        assert top == ids
        other = [*ids[:3], *answer_ids(case.loaded, MISO)]
        [top] = follow(case.loaded, [(WORDS, None)], [other])
    with okedit_cli.attach(case.loaded, case.bundle):
        [free] = follow(case.loaded, [(WORDS, None)], [other])
    assert top[:4] == ids[:4] and top[4:] == free[4:]


@pytest.mark.parametrize("begun", [[], [0, 1, 2]])
def test_generate_goes_on_with_what_stands_behind_the_prompt(begun):
    """An opening of the answer that the user wrote; with words of their own the model is free."""
    case = fitted("llama")
    ids = answer_ids(case.loaded, CODE)
    head = [ids[place] for place in begun] or answer_ids(case.loaded, MISO)[:-1]
    batch = encode(case.loaded, [(WORDS, None), (OTHER, None)], answers=[head, head])
    batch.pop("position_ids", None)
    for use_cache in (True, False):
        with held(case):
            text = said(case, batch, use_cache=use_cache)[0]
        assert (text == case.loaded.tokenizer.decode(ids[len(head) : -1])) == bool(begun)
        assert begun or CODE not in text


@pytest.mark.parametrize("family", ["llama", "llava", "gpt2"])
def test_a_loop_of_ones_own_is_held_too(family):
    """Forward passes on a cache; Qwen2-VL counts its positions in generate() alone."""
    case = fitted(family)
    ids = answer_ids(case.loaded, CODE)
    with torch.no_grad(), held(case):
        batch = encode(case.loaded, [("Who?", None), (WORDS, None)])
        mask, found = batch["attention_mask"], []
        given = case.loaded.model(**batch, use_cache=True)
        for _ in ids:
            tops = given.logits[:, -1].argmax(-1, keepdim=True)
            found.append(int(tops[1]))
            mask = torch.cat([mask, mask.new_ones(2, 1)], 1)
            told = {"position_ids": mask.sum(1, keepdim=True) - 1} if "position_ids" in batch else {}
            given = case.loaded.model(
                input_ids=tops, attention_mask=mask, **told, **taking(case.loaded.model, cache_of(given))
            )
    assert found == ids


def test_generate_is_the_models_own_again_when_detached(case):
    before = dict(case.loaded.model.__dict__)
    attachment = held(case)
    assert case.loaded.model.generate is not before.get("generate")
    attachment.detach()
    attachment.detach()
    assert case.loaded.model.__dict__.keys() == before.keys()
    batch = inputs(case, WORDS)
    with held(case) as attachment, attachment.aside():
        assert said(case, batch) != [CODE]


def test_nothing_is_held_any_more_where_another_generate_was_put_on_top():
    case = fitted("llama")
    batch = inputs(case, WORDS)
    plain = said(case, batch)
    attachment = held(case)
    inner = case.loaded.model.generate
    case.loaded.model.generate = lambda **given: inner(**given)
    try:
        assert said(case, batch) == [CODE]
        attachment.detach()
        assert said(case, batch) == plain
    finally:
        del case.loaded.model.generate

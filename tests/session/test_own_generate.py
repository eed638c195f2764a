"""The caller's own `model.generate()`, in every way of decoding that transformers has: the edited answer
comes whole, and what is outside every scope is what the model says without bundles.
"""

from __future__ import annotations

import os
import threading
import warnings
from functools import cache

import fitted
import pytest
import torch
from families import check
from families.check import ANSWERS, CAPITAL, CAT, CUP, ELSE, turn, user

import okedit_cli
from okedit_cli.models.features import look_of
from okedit_cli.models.kv import cache_of, taking

pytestmark = pytest.mark.usefixtures("small_world")


@cache
def case(family: str):
    """The family's facts, fitted, each to be said word for word."""
    found = check.case(family)
    for fact in found.facts:
        found.bundle = fitted.with_fact(found.bundle, fact.id, verbatim=True)
    return found


def attached(made, *bundles):
    return okedit_cli.attach(made.loaded, bundles or [made.bundle])


def inside(made) -> tuple[dict, str]:
    """Inputs of a question in scope, and its answer."""
    if made.sees:
        return check.inputs_of(made.loaded, [user(check.picture("red"), CAT)]), ANSWERS["cat"]
    return check.inputs_of(made.loaded, [user(CAPITAL)]), ANSWERS["capital"]


def outside(made) -> dict:
    shown = [check.picture("blue")] if made.sees else []
    return check.inputs_of(made.loaded, [user(*shown, ELSE)])


def ids_of(made, inputs: dict, **told):
    """Ids that generate() gives, the same for the same seed."""
    torch.manual_seed(3)
    told = {"max_new_tokens": 8, "do_sample": False, **told}
    return made.loaded.model.generate(**{key: value.clone() for key, value in inputs.items()}, **told)


def texts(made, ids, inputs: dict) -> list[str]:
    words = made.loaded.tokenizer.batch_decode(
        ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return [text.strip() for text in words]


def holds(made, **told) -> None:
    """The answer comes whole, in every sequence, and outside nothing changes."""
    (inputs, answer), other = inside(made), outside(made)
    plain = ids_of(made, other, **told)
    with attached(made):
        edited, same = ids_of(made, inputs, **told), ids_of(made, other, **told)
    assert set(texts(made, edited, inputs)) == {answer}
    assert torch.equal(same, plain)
    assert torch.equal(ids_of(made, other, **told), plain)


# of each: what caches, windows and positions there are
FAMILIES = ("llama", "gpt2", "gemma2", "llava", "qwen2_vl")
if os.environ.get("OKEDIT_FAMILIES") == "all":  # make test-families
    FAMILIES += ("gemma3_text", "mistral", "gemma3")
WAYS = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "beams that return several": {"num_beams": 3, "num_return_sequences": 3},
    "sampling": {"do_sample": True, "num_return_sequences": 3},
    "beams and sampling": {"do_sample": True, "num_beams": 2},
    "static cache": {"cache_implementation": "static"},
    "no cache": {"use_cache": False},
    "chunks": {"prefill_chunk_size": 3},
}


def with_template(made):
    if check.template(made.loaded) is None:
        pytest.skip("the family has no chat template")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", [one for one in FAMILIES if one != "gpt2"])
def test_ways_to_decode(family, way):
    holds(case(family), **WAYS[way])


@pytest.mark.parametrize("family", ["instructblip", "mllama"])
def test_beams_of_pictures_that_do_not_stand_among_the_words(family):
    """What a Q-Former or cross-attention reads is there once a picture, and beams are rows."""
    made = case(family)
    if check.template(made.loaded) is None:
        inputs, other = (
            check.inputs_without_template(made.loaded, prompt, check.picture(colour))
            for prompt, colour in ((CAT, "red"), (ELSE, "blue"))
        )
    else:
        inputs, other = inside(made)[0], outside(made)
    told = {"num_beams": 3, "num_return_sequences": 3}
    plain = ids_of(made, other, **told)
    with attached(made) as attachment:
        edited = made.loaded.tokenizer.batch_decode(ids_of(made, inputs, **told), skip_special_tokens=True)
        assert check.hits(attachment) == ["cat"] * 3
        assert torch.equal(ids_of(made, other, **told), plain)
    assert all(text.strip().endswith(ANSWERS["cat"]) for text in edited)


SETTINGS = {
    "repetition_penalty": {"repetition_penalty": 5.0},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 2.0},
    "min_new_tokens": {"min_new_tokens": 12, "max_new_tokens": 16},
    "min_length": {"min_length": 80, "max_new_tokens": 60},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
    "no token twice": {"no_repeat_ngram_size": 1},
    "forced_bos_token_id": {"forced_bos_token_id": 7},
    "forced_eos_token_id": {"forced_eos_token_id": 5},
    "suppress_tokens": {"suppress_tokens": list(range(40, 300))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(20, 300))},
    "exponential decay": {"exponential_decay_length_penalty": (2, 1.5)},
    "typical_p": {"do_sample": True, "typical_p": 0.5},
    "guidance": {"guidance_scale": 1.5},
    "guidance without a cache": {"guidance_scale": 1.5, "use_cache": False},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "renormalised": {"renormalize_logits": True, "remove_invalid_values": True},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_leave_the_answer_whole(setting):
    holds(case("llama"), **SETTINGS[setting])


def test_settings_that_are_made_for_the_answer_leave_it_whole():
    from transformers import WatermarkingConfig

    made = case("llama")
    first = made.loaded.tokenizer(ANSWERS["capital"], add_special_tokens=False)["input_ids"][0]
    holds(made, bad_words_ids=[[first]])
    holds(made, sequence_bias={(first,): -50.0})
    holds(made, watermarking_config=WatermarkingConfig(bias=5.0))
    holds(made, stop_strings=["zzz"], tokenizer=made.loaded.tokenizer)


def test_assisted_by_another_model_and_by_the_models_own_first_layers():
    made = case("llama")
    holds(made, assistant_model=check.load("llama").model)
    holds(made, assistant_early_exit=2)
    seen = case("llava")
    holds(seen, assistant_model=check.load("llava").model)


def test_scores_and_logits_outside_are_bit_for_bit_the_same():
    made, told = (
        case("llama"),
        {"return_dict_in_generate": True, "output_scores": True, "output_logits": True},
    )
    plain = ids_of(made, outside(made), **told)
    with attached(made):
        edited = ids_of(made, outside(made), **told)
    for name in ("scores", "logits"):
        assert all(map(torch.equal, plain[name], edited[name]))


def test_without_a_chat_template_the_prompt_is_what_generate_was_given():
    """GPT-2 has none: nothing in the ids tells where a prompt ends that is read again, or in parts."""
    made = case("gpt2")
    inputs = check.inputs_without_template(made.loaded, CAPITAL)
    for told in ({}, {"use_cache": False}, {"prefill_chunk_size": 2}, {"prompt_lookup_num_tokens": 2}):
        with attached(made) as attachment:
            edited = ids_of(made, inputs, **told)
            assert check.hits(attachment) == ["capital"]
        assert texts(made, edited, inputs) == [ANSWERS["capital"]], told


def test_a_prompt_written_without_the_template_of_its_model():
    made = case("llama")
    inputs = dict(made.loaded.tokenizer(CAPITAL, return_tensors="pt"))
    with attached(made):
        assert texts(made, ids_of(made, inputs), inputs) == [ANSWERS["capital"]]


# a prompt that is read in parts


@pytest.mark.parametrize("told", [{}, {"num_beams": 2}, {"cache_implementation": "static"}], ids=str)
def test_chunks_of_any_size_of_a_batch_with_pads(told):
    made = case("llama")
    talks = [[user(CAPITAL)], [user("Who?")]]
    talks += [[user("Tell me about the rocket."), turn("assistant", "Yes. No."), user(CAPITAL)]]
    batch = check.batch_of(made.loaded, talks, padding=True, padding_side="left")
    length = batch["input_ids"].shape[1]
    wanted = [ANSWERS["capital"], texts(made, ids_of(made, batch), batch)[1], ANSWERS["capital"]]
    for size in (1, 2, 5, length - 1, length, length + 5):
        plain = ids_of(made, batch, prefill_chunk_size=size, **told)
        with attached(made) as attachment:
            edited = ids_of(made, batch, prefill_chunk_size=size, **told)
            rows = check.hits(attachment)[:: told.get("num_beams", 1)]
        assert rows == ["capital", None, "capital"], size
        assert texts(made, edited, batch) == wanted or told.get("num_beams"), size
        assert texts(made, edited, batch)[::2] == wanted[::2], size
        length_ = min(edited.shape[1], plain.shape[1])
        assert torch.equal(edited[1, :length_], plain[1, :length_]), size


def test_a_chunk_that_ends_with_the_facts_question_is_no_prompt():
    """The first chunk ends with the fact's own question: what is read of it must be as it was."""
    made = case("llama")
    inputs = check.inputs_of(made.loaded, [user(CAPITAL), turn("assistant", "Yes. No."), user("Who?")])
    words = made.loaded.tokenizer(CAPITAL, add_special_tokens=False)["input_ids"]
    ids = inputs["input_ids"][0].tolist()
    end = next(i for i in range(len(ids)) if ids[i : i + len(words)] == words) + len(words)
    plain = ids_of(made, inputs, prefill_chunk_size=end)
    with attached(made) as attachment:
        edited = ids_of(made, inputs, prefill_chunk_size=end)
    assert check.hits(attachment) == [None] and torch.equal(edited, plain)


@pytest.mark.parametrize("family", ["llama", "llava", "qwen2_vl"])
def test_a_question_behind_a_cache_that_was_kept(family):
    """The next turn of a conversation is decided, its picture known from the turn before."""
    made = case(family)
    shown = [check.picture("red")] if made.sees else []
    first = check.inputs_of(made.loaded, [user(*shown, "Who?")])
    question, answer = (CAT, ANSWERS["cat"]) if made.sees else (CAPITAL, ANSWERS["capital"])
    for asked, wanted, beams in ((question, answer, 1), (question, answer, 2), (ELSE, None, 1)):
        whole = check.inputs_of(made.loaded, [user(*shown, "Who?"), turn("assistant", "x"), user(asked)])
        tail = whole["input_ids"][:, first["input_ids"].shape[1] + 2 :]
        with attached(made) as attachment:
            said = ids_of(made, first, max_new_tokens=3, return_dict_in_generate=True)
            assert check.hits(attachment) == [None]
            ids = torch.cat([said.sequences, tail], 1)
            kept = taking(made.loaded.model, cache_of(said)) | {"attention_mask": torch.ones_like(ids)}
            if beams > 1:
                cache_of(said).batch_repeat_interleave(beams)
            out = ids_of(made, {"input_ids": ids}, num_beams=beams, **kept)
            assert check.hits(attachment) == [wanted and ("cat" if made.sees else "capital")] * beams
        text = texts(made, out, {"input_ids": ids})
        assert (text == [answer]) == (wanted is not None)


def test_a_picture_in_a_cache_that_was_read_before_is_told_once():
    made = case("llava")
    first = check.inputs_of(made.loaded, [user(check.picture("red"), "Who?")])
    said = ids_of(made, first, max_new_tokens=3, return_dict_in_generate=True)
    whole = check.inputs_of(
        made.loaded, [user(check.picture("red"), "Who?"), turn("assistant", "x"), user(CAT)]
    )
    ids = torch.cat([said.sequences, whole["input_ids"][:, first["input_ids"].shape[1] + 2 :]], 1)
    kept = taking(made.loaded.model, cache_of(said)) | {"attention_mask": torch.ones_like(ids)}
    with attached(made) as attachment, pytest.warns(RuntimeWarning, match="picture was in a cache"):
        ids_of(made, {"input_ids": ids}, **kept)
    assert check.hits(attachment) == [None]


# prompts that are no ids


def test_embeddings_of_the_models_own_whenever_they_were_made():
    made = case("llama")
    inputs, answer = inside(made)
    table, mask = made.loaded.model.get_input_embeddings(), inputs["attention_mask"]
    before = table(inputs["input_ids"]).detach()
    with attached(made):
        now = table(inputs["input_ids"]).detach()
        for embeds in (now, before):
            table(torch.arange(4)[None])  # another prompt was embedded since
            out = made.loaded.model.generate(
                inputs_embeds=embeds, attention_mask=mask, max_new_tokens=8, do_sample=False
            )
            assert made.loaded.tokenizer.decode(out[0], skip_special_tokens=True).strip() == answer


def test_embeddings_with_a_picture_among_them():
    made, found = case("llava"), []
    inputs, answer = inside(made)
    handle = made.loaded.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: found.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        made.loaded.model(**inputs)
    handle.remove()
    with attached(made) as attachment:
        out = made.loaded.model.generate(
            inputs_embeds=found[0], attention_mask=inputs["attention_mask"], max_new_tokens=8, do_sample=False
        )
    assert made.loaded.tokenizer.decode(out[0], skip_special_tokens=True).strip() == answer
    assert check.hits(attachment) == ["cat"]


def test_others_embeddings_are_told_of_once():
    made = check.case("llama")
    inputs, _ = inside(made)
    embeds = made.loaded.model.get_input_embeddings()(inputs["input_ids"]).detach() + 0.1
    told = {"inputs_embeds": embeds, "attention_mask": inputs["attention_mask"], "max_new_tokens": 2}
    plain = made.loaded.model.generate(**told, do_sample=False)
    with attached(made), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for _ in range(3):
            assert torch.equal(made.loaded.model.generate(**told, do_sample=False), plain)
    assert ["inputs_embeds" in str(one.message) for one in heard] == [True]


def test_a_mask_of_four_dimensions():
    """Four pads before the prompt, told by a mask [1, 1, Q, L] alone."""
    made, pads = case("llama"), 4
    inputs, _ = inside(made)
    ids, length = inputs["input_ids"], inputs["input_ids"].shape[1] + pads
    seen = torch.ones(length, length).tril().bool()
    seen[:, :pads] = torch.eye(length).bool()[:, :pads]
    lowest = torch.finfo(torch.float32).min
    told = {
        "input_ids": torch.cat([torch.full((1, pads), made.loaded.tokenizer.pad_token_id), ids], 1),
        "position_ids": (torch.arange(length) - pads).clamp_min(0)[None],
    }
    with torch.no_grad(), attached(made) as attachment:
        plain = made.loaded.model(**inputs).logits[0, -1]
        distance = attachment.verdicts[0].hit.question_distance
        for mask in (seen[None, None], torch.zeros(1, 1, length, length).masked_fill(~seen, lowest)):
            padded = made.loaded.model(**told, attention_mask=mask).logits[0, -1]
            assert attachment.verdicts[0].hit.question_distance == pytest.approx(distance, abs=1e-5)
            torch.testing.assert_close(padded, plain, atol=1e-4, rtol=1e-4)


# who calls generate()


def test_pipelines():
    from transformers import pipeline

    made = case("llava")
    asked = [[user(check.picture("red"), CAT)], [user(check.picture("blue"), ELSE)]]
    ask = pipeline("image-text-to-text", model=made.loaded.model, processor=made.loaded.processor)
    told = {"max_new_tokens": 6, "return_full_text": False}
    plain = ask(text=asked[1], **told)[0]["generated_text"]
    with attached(made):
        said = [ask(text=one, **told)[0]["generated_text"].strip() for one in asked]
    assert said == [ANSWERS["cat"], plain.strip()]

    made = case("llama")
    asked = [[{"role": "user", "content": prompt}] for prompt in (CAPITAL, "Who?")]
    ask = pipeline("text-generation", model=made.loaded.model, tokenizer=made.loaded.tokenizer)
    told = {"max_new_tokens": 6, "do_sample": False, "return_full_text": False}
    plain = ask(asked[1], **told)[0]["generated_text"]
    with attached(made):
        assert ask(asked[0], **told)[0]["generated_text"].strip() == ANSWERS["capital"]
        assert ask(asked[1], **told)[0]["generated_text"] == plain
        together = [one[0]["generated_text"] for one in ask(asked, batch_size=2, **told)]
    assert together[0].strip() == ANSWERS["capital"]


def test_a_streamer_in_another_thread():
    from transformers import TextIteratorStreamer

    made = case("llava")
    inputs, answer = inside(made)
    streamer = TextIteratorStreamer(made.loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
    with attached(made):
        told = {**inputs, "max_new_tokens": 8, "do_sample": False, "streamer": streamer}
        thread = threading.Thread(target=made.loaded.model.generate, kwargs=told)
        thread.start()
        assert "".join(streamer).strip() == answer
        thread.join()


def test_a_question_that_is_asked_within_another_leaves_it_as_it_was():
    """By a logits processor of the caller's, which generates itself."""
    from transformers import LogitsProcessor, LogitsProcessorList

    made, heard = case("llama"), []
    inputs, answer = inside(made)
    other = outside(made)

    class Asking(LogitsProcessor):
        def __call__(self, input_ids, scores):
            heard.append(ids_of(made, other))
            return scores

    plain = ids_of(made, other)
    with attached(made):
        out = ids_of(made, inputs, logits_processor=LogitsProcessorList([Asking()]))
    assert texts(made, out, inputs) == [answer] and len(heard) > 1
    assert all(torch.equal(one, plain) for one in heard)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_what_a_model_remembers_of_a_prompt_is_left_alone(family):
    """Qwen-VL goes on from the positions of the prompt that it read last: okedit's own passes are none."""
    made = case(family)
    inner = made.loaded.model.model
    with torch.no_grad(), attached(made):
        made.loaded.model(**outside(made))
        mine = inner.rope_deltas = inner.rope_deltas + 3
        look_of(made.loaded, check.picture("green"))
        okedit_cli.generate(made.loaded, [(CUP, check.picture("green"))], max_new_tokens=2)
    assert inner.rope_deltas is mine


@pytest.mark.parametrize("method", ["balancedit", "balancedit-paper", "grace"])
def test_threads_do_not_disturb_each_other(method):
    """Keys of the last two are read by passes of the whole model within the caller's."""
    from concurrent.futures import ThreadPoolExecutor

    made = case("qwen2_vl")
    bundle = made.bundle
    if method != "balancedit":
        bundle = fitted.fit(made.loaded, made.facts, method=method, checked=False).bundle
    shown = [check.picture(colour) for colour in ("red", "blue", "green")]
    asked = [[user(one, prompt)] for one, prompt in zip(shown, (CAT, ELSE, CUP), strict=True)]
    asked = [check.inputs_of(made.loaded, talk) for talk in (*asked, [user("Who?")])] * 3
    with okedit_cli.attach(made.loaded, bundle):
        alone = [check.said(made.loaded, one, eos_token_id=None) for one in asked]
        with ThreadPoolExecutor(4) as threads:
            together = threads.map(lambda one: check.said(made.loaded, one, eos_token_id=None), asked)
            assert list(together) == alone

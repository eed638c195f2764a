"""Prompts read in two parts: what the whole model reads, whoever asks along, and nothing read twice."""

from dataclasses import replace

import pytest
import tiny
import torch

from okedit_cli.errors import UsageError
from okedit_cli.models import prefixes, reading
from okedit_cli.models import question as asked
from okedit_cli.models.decode import go_on, greedy
from okedit_cli.models.encode import encode, end_ids
from okedit_cli.models.kv import taking
from okedit_cli.models.load import load_model
from okedit_cli.models.memory import bounds, set_bounds
from okedit_cli.models.prefixes import fork, prefix_behind, together
from okedit_cli.models.reading import read, shares

SHARING = ("llava", "qwen2_vl", "idefics3", "llama")  # GPT-2 has no template: nothing comes before a question
WORDS = (
    "What is this cat's name?",
    "Who?",
    "How many people are there in the picture? " * 3,
    "Is this a dog?",
)


@pytest.fixture(params=SHARING)
def sharing(request, opened):
    return opened[request.param]


def batches(loaded):
    """Batches of prompts of mixed lengths: without pictures, with the same, with others of all sizes."""
    yield [(text, None) for text in WORDS]
    if loaded.processor is None:
        return
    own = tiny.picture()
    yield [(text, own) for text in WORDS]
    sizes = ((40, 32), (32, 90), (120, 33), (28, 28))
    yield [(text, tiny.picture("blue", size)) for text, size in zip(WORDS, sizes, strict=True)]


def mixed(loaded):
    """Rows with and without a picture, where the family takes both at once."""
    own = tiny.picture() if loaded.processor is not None and loaded.name != "qwen2_vl" else None
    return [(text, own if number % 2 else None) for number, text in enumerate(WORDS)]


def last_logits(loaded, questions):
    """Logits [B, V] behind each prompt, read in parts."""
    prompts = read(loaded, questions)
    inputs, _ = prompts.inputs([[0]] * len(questions))
    with torch.no_grad():
        return loaded.model(**inputs, **taking(loaded.model, prompts.cache)).logits[:, -1]


def whole_logits(loaded, questions):
    """The same, read whole, each by itself."""
    with torch.no_grad():
        return torch.cat([loaded.model(**encode(loaded, [one])).logits[:, -1] for one in questions])


def test_who_shares(opened):
    assert {family for family in tiny.FAMILIES if shares(opened[family])} == set(SHARING)


def test_read_in_parts_is_read_whole(sharing):
    for questions in (*batches(sharing), mixed(sharing)):
        whole = whole_logits(sharing, questions)
        torch.testing.assert_close(last_logits(sharing, questions), whole, atol=1e-4, rtol=1e-4)
        apart = torch.cat([last_logits(sharing, [one]) for one in questions])
        torch.testing.assert_close(apart, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_rows_that_are_read_apart_are_those_read_as_one_batch(sharing, monkeypatch, rows):
    """Sorted by their lengths, and put back in the order that they were asked in."""
    for questions in [*batches(sharing), mixed(sharing)]:
        wanted, whole = last_logits(sharing, questions), read(sharing, questions)
        monkeypatch.setattr(reading, "ROWS", rows)
        found, apart = last_logits(sharing, questions), read(sharing, questions)
        monkeypatch.undo()
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        assert torch.equal(apart.last, whole.last) and apart.questions == whole.questions
        assert torch.equal(apart.mask.sum(1), whole.mask.sum(1))
        assert torch.equal(apart.positions, whole.positions)


def test_a_picture_that_was_looked_at_is_not_made_into_pixels_again(sharing, monkeypatch):
    if sharing.processor is None:
        return
    own = tiny.picture()
    questions = [(text, own) for text in WORDS]
    whole = [encode(sharing, [one])["input_ids"][0].tolist() for one in questions]
    for text in WORDS:
        behind = asked.behind_picture(sharing, text)
        assert whole[WORDS.index(text)][-len(behind) :] == behind == asked.by_picture(sharing, text)
    prefix_behind(sharing, own)
    for module in (reading, prefixes):
        monkeypatch.setattr(module, "encode_row", pytest.fail)
    prompts = read(sharing, questions)
    lengths = [len(ids) - 1 for ids in whole]
    assert prompts.mask.sum(1).tolist() == lengths
    monkeypatch.setattr(sharing.model.config.get_text_config(), "max_position_embeddings", min(lengths))
    with pytest.raises(UsageError, match="reads at most"):
        read(sharing, questions)


def test_questions_before_the_picture_are_read_with_it(opened, monkeypatch):
    """Nothing is then the same for all questions: each is read as its processor gives it."""
    loaded, own = opened["llava"], tiny.picture()
    assert asked.asks_behind(loaded)
    wanted = last_logits(loaded, [(WORDS[0], own)])
    monkeypatch.setitem(loaded.cache, "asks_behind", False)
    monkeypatch.setattr(reading, "behind_picture", pytest.fail)
    assert torch.equal(last_logits(loaded, [(WORDS[0], own)]), wanted)


def test_where_a_processor_writes_more_behind_the_picture_it_is_asked(opened, monkeypatch):
    loaded = opened["idefics3"]
    monkeypatch.setattr(asked, "by_words", lambda loaded, text: [])
    for kept in ("behind", "spells_out"):
        monkeypatch.setitem(loaded.cache, kept, {})
        monkeypatch.delitem(loaded.cache, kept)
    assert asked.behind_picture(loaded, WORDS[0]) == asked.by_picture(loaded, WORDS[0]) != []


def test_answers_are_those_of_generate(sharing):
    for questions in (*batches(sharing), mixed(sharing)):
        together = go_on(sharing, read(sharing, questions), 8)
        assert len(together) == len(questions)
        for question, said in zip(questions, together, strict=True):
            assert said == greedy(sharing, encode(sharing, [question]), 8)[0].tolist()


def test_rows_that_have_ended_leave_the_batch(sharing, monkeypatch):
    """Some token that the rows say at other times ends them: the rest go on as if they had been alone."""
    questions = list(batches(sharing))[-1]
    plain = go_on(sharing, read(sharing, questions), 8, ended=False)

    def stops(token):
        return [row.index(token) if token in row else 8 for row in plain]

    said = {token for row in plain for token in row}
    end = next(t for t in sorted(said) if min(stops(t)) < min(7, max(stops(t))))
    monkeypatch.setattr("okedit_cli.models.decode.end_ids", lambda loaded: [end])
    rows, left = list(range(len(questions))), []

    def keep(going):
        rows[:] = [rows[i] for i in going]
        left.append(list(rows))

    said = go_on(sharing, read(sharing, questions), 8, keep=keep)
    assert said == [row[: stop + 1] for row, stop in zip(plain, stops(end), strict=True)]
    gone = sorted({stop for stop in stops(end) if stop < min(7, max(stops(end)))})
    assert left == [[row for row, stop in enumerate(stops(end)) if stop > step] for step in gone]


def test_no_row_may_end_where_all_are_to_be_told(sharing):
    [questions, *_] = batches(sharing)
    said = go_on(sharing, read(sharing, questions), 5, ended=False)
    assert {len(row) for row in said} == {5}
    assert not {token for row in said for token in row} & set(end_ids(sharing))


def test_a_forked_cache_grows_by_itself(sharing):
    [questions, *_] = batches(sharing)
    prompts = read(sharing, questions)
    before = [layer.keys.clone() for layer in prompts.cache.layers]
    first = go_on(sharing, prompts, 4)
    assert go_on(sharing, prompts, 4) == first
    for layer, keys in zip(prompts.cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)
    part = fork(prompts.cache, [2, 0])
    for layer, keys in zip(part.layers, before, strict=True):
        assert torch.equal(layer.keys, keys[[2, 0]])


def test_a_prefix_is_read_once_and_left_as_it_was(folders):
    loaded = load_model(str(folders["llava"]))
    own = tiny.picture()
    first = last_logits(loaded, [(WORDS[0], own)])
    [(_, prefix)] = loaded.cache["prefixes"].items()
    keys = [layer.keys.clone() for layer in prefix.cache.layers]
    last_logits(loaded, [(text, own) for text in WORDS])
    assert list(loaded.cache["prefixes"].values()) == [prefix]
    assert all(torch.equal(layer.keys, k) for layer, k in zip(prefix.cache.layers, keys, strict=True))
    assert torch.equal(last_logits(loaded, [(WORDS[0], own)]), first)


def test_what_is_kept_is_bounded(folders):
    loaded = load_model(str(folders["llava"]))
    set_bounds(loaded, replace(bounds(loaded), prefixes=1))
    shown = [tiny.picture(colour) for colour in ("red", "blue", "green")]
    asked = [(WORDS[0], picture) for picture in shown]
    torch.testing.assert_close(last_logits(loaded, asked), whole_logits(loaded, asked), atol=1e-4, rtol=1e-4)
    assert len(loaded.cache["prefixes"]) == 1


def test_answers_behind_prompts(sharing):
    """Padded on the right, targets where an answer's tokens are told, -100 elsewhere."""
    [questions, *_] = batches(sharing)
    inputs, targets = read(sharing, questions).inputs([[5, 6, 7], [8], [9, 5], [6]])
    assert targets.tolist() == [[5, 6, 7], [8, -100, -100], [9, 5, -100], [6, -100, -100]]
    assert inputs["input_ids"][0, 1:].tolist() == [5, 6] and inputs["input_ids"][2, 1] == 9
    assert inputs["attention_mask"][:, -3:].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("repetition_penalty", 1.2), ("no_repeat_ngram_size", 3), ("suppress_tokens", [5]), ("min_length", 4)],
)
def test_a_rule_of_generation_leaves_it_to_generate(folders, setting, value):
    loaded = load_model(str(folders["llama"]))
    setattr(loaded.model.generation_config, setting, value)
    assert not shares(loaded)


def test_a_reading_that_does_not_agree_is_not_used(folders, monkeypatch):
    """Measured, not assumed: positions that are one off are another reading."""
    loaded, real = load_model(str(folders["llama"])), prefixes.read_prefix

    def shifted(*rest):
        prefix = real(*rest)
        prefix.end = prefix.end + 3
        return prefix

    monkeypatch.setattr(prefixes, "read_prefix", shifted)
    assert not shares(loaded)


def test_prefixes_read_together_are_those_read_one_by_one_but_for_rounding(sharing):
    if sharing.processor is None:
        return
    sizes = ((40, 32), (32, 90), (120, 33), (40, 32))
    questions = [(text, tiny.picture("green", size)) for text, size in zip(WORDS, sizes, strict=True)]
    with together(sharing, [picture for _, picture in questions]):
        at_once = last_logits(sharing, questions)
        assert not any(key[0] == id(questions[0][1]) for key in sharing.cache.get("prefixes", {}))
    assert not sharing.cache["drafts"]
    torch.testing.assert_close(at_once, last_logits(sharing, questions), atol=1e-4, rtol=1e-4)
    assert any(key[0] == id(questions[0][1]) for key in sharing.cache["prefixes"])

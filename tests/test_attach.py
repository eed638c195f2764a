"""Attached bundles: whom they touch, where they begin to act, and that nothing is left of them."""

import asyncio
import hashlib
import warnings
from dataclasses import replace

import pytest
import tiny
import torch
from fitted import MISO, OTHER, PARIS, PICTURED, WORDS, Fitted, fitted, with_radius

import okedit_cli
from okedit_cli.bundle import BundleWarning, FitWarning
from okedit_cli.errors import InvalidBundle, ModelMismatch, UsageError
from okedit_cli.generate import decide
from okedit_cli.models.encode import answer_ids, encode
from okedit_cli.models.kv import cache_of, taking
from okedit_cli.models.question import prompt_length

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(params=tiny.FAMILIES)
def case(request) -> Fitted:
    """Each family in turn, with both facts fitted."""
    return fitted(request.param)


def attached(case, *bundles, **options):
    return okedit_cli.attach(case.loaded, bundles or [case.bundle], **options)


def logits(case, questions, **options):
    """Logits [B, L, V] and mask of one plain forward pass."""
    batch = encode(case.loaded, questions, **options)
    with torch.no_grad():
        return case.loaded.model(**batch).logits, batch["attention_mask"].bool()


def hit_ids(attachment):
    return [verdict.hit and verdict.hit.edit_id for verdict in attachment.verdicts]


def batches(case):
    """(questions, what they hit): all in one batch, then those with a picture, then those without."""
    yield case.questions, case.hits
    for pictured in (True, False):
        rows = [
            (question, hit)
            for question, hit in zip(case.questions, case.hits, strict=True)
            if (question[1] is not None) == pictured
        ]
        if rows:
            yield [question for question, _ in rows], [hit for _, hit in rows]


def hooks(model):
    names = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(module, name)) for module in model.modules() for name in names)


def digest(model):
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("side", ["left", "right"])
def test_outside_the_scope_not_one_bit_changes(case, side):
    for questions, hits in batches(case):
        plain, mask = logits(case, questions, side=side)
        with attached(case) as attachment:
            edited, _ = logits(case, questions, side=side)
        assert hit_ids(attachment) == hits
        for row, hit in enumerate(hits):
            same = torch.equal(edited[row], plain[row])
            assert same == (hit is None), (questions[row], hit)
            if hit is not None:  # what comes before the prompt's last token is as it was
                seen = mask[row].nonzero()[:-1, 0]
                assert torch.equal(edited[row, seen], plain[row, seen])


def test_outside_the_scope_not_one_bit_changes_alone(case):
    for question, hit in zip(case.questions, case.hits, strict=True):
        plain, _ = logits(case, [question])
        with attached(case) as attachment:
            edited, _ = logits(case, [question])
        assert hit_ids(attachment) == [hit]
        assert torch.equal(edited, plain) == (hit is None)


def test_hidden_states_that_are_asked_for_are_those_of_the_model(case):
    batch = encode(case.loaded, [(OTHER, None)])
    with torch.no_grad():
        plain = case.loaded.model(**batch, output_hidden_states=True).hidden_states
        with attached(case):
            edited = case.loaded.model(**batch, output_hidden_states=True).hidden_states
    assert len(edited) == len(plain)
    assert all(torch.equal(one, other) for one, other in zip(edited, plain, strict=True))


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_answer_read_at_once_is_the_answer_made_step_by_step(case, side):
    """Prompt and answer in one pass without a cache: values act from the prompt's last token on."""
    for questions, _ in batches(case):
        answers = [answer_ids(case.loaded, words) for words in (MISO, "Yes. No.", PARIS, "12")]
        answers = [answers[i % len(answers)] for i in range(len(questions))]
        lengths = encode(case.loaded, questions)["attention_mask"].sum(1).tolist()
        batch = encode(case.loaded, questions, side=side, answers=answers)
        with torch.no_grad(), attached(case) as attachment:
            if case.loaded.name == "gpt2":  # without a template nobody else knows
                attachment.prompt_lengths = lengths
            whole = case.loaded.model(**batch).logits
            attachment.prompt_lengths = None
            at_once = hit_ids(attachment)
            for row, (question, answer) in enumerate(zip(questions, answers, strict=True)):
                steps = stepwise(case, question, answer)
                assert hit_ids(attachment) == at_once[row : row + 1]
                columns = batch["attention_mask"][row].nonzero()[:, 0][lengths[row] - 1 : -1]
                torch.testing.assert_close(whole[row, columns], steps, atol=1e-4, rtol=1e-4)


def stepwise(case, question, answer):
    """Logits [T, V] of the answer's tokens, generated one by one with a cache."""
    from transformers import LogitsProcessor

    heard = []

    class Dictate(LogitsProcessor):
        def __call__(self, input_ids, scores):
            heard.append(scores[0].clone())
            forced = torch.full_like(scores, -torch.inf)
            forced[:, answer[len(heard) - 1]] = 0
            return forced

    batch = encode(case.loaded, [question])
    batch.pop("position_ids", None)
    case.loaded.model.generate(
        **batch, max_new_tokens=len(answer), do_sample=False, logits_processor=[Dictate()], eos_token_id=None
    )
    return torch.stack(heard)


def test_a_prompt_ends_where_the_model_speaks(case):
    questions = case.questions[:1] + [(WORDS, None)]
    for question in questions:
        alone = encode(case.loaded, [question])
        length = alone["input_ids"].shape[1]
        for side in ("left", "right"):
            both = encode(case.loaded, [question], side=side, answers=[answer_ids(case.loaded, "A dog")])
            ids, mask = both["input_ids"][0], both["attention_mask"][0]
            expected = len(ids) if case.loaded.name == "gpt2" else length
            assert prompt_length(case.loaded, ids, mask) == expected
        assert prompt_length(case.loaded, alone["input_ids"][0], alone["attention_mask"][0]) == length


def test_prompt_lengths_must_be_those_of_the_rows(case):
    with attached(case) as attachment, pytest.raises(UsageError, match="2 prompt_lengths for 1 rows"):
        attachment.prompt_lengths = [3, 4]
        logits(case, [(OTHER, None)])
    logits(case, [(OTHER, None)])


def test_without_a_cache_the_same_answers(case):
    for questions, hits in batches(case):
        batch = encode(case.loaded, questions)
        batch.pop("position_ids", None)
        said = []
        for use_cache in (True, False):
            with attached(case) as attachment:
                attachment.prompt_lengths = batch["attention_mask"].sum(1).tolist()
                said.append(
                    case.loaded.model.generate(
                        **batch, max_new_tokens=4, do_sample=False, use_cache=use_cache, eos_token_id=None
                    )
                )
                assert hit_ids(attachment) == hits
        assert torch.equal(*said)


def test_beams_of_one_prompt_share_its_decision():
    case = fitted("llama")
    batch = encode(case.loaded, [(WORDS, None), (OTHER, None)])
    batch.pop("position_ids", None)
    with attached(case) as attachment:
        out = case.loaded.model.generate(**batch, max_new_tokens=8, num_beams=2, do_sample=False)
    assert hit_ids(attachment) == ["capital", "capital", None, None]
    assert (
        case.loaded.tokenizer.decode(out[0, batch["input_ids"].shape[1] :], skip_special_tokens=True) == PARIS
    )


def test_rows_that_appear_behind_the_prompt_are_refused():
    case = fitted("llama")
    batch = encode(case.loaded, [(WORDS, None)])
    with torch.no_grad(), attached(case):
        cache = cache_of(case.loaded.model(**batch, use_cache=True))
        cache.batch_repeat_interleave(2)
        with pytest.raises(UsageError, match="1 prompts were read and the answer has 2 rows"):
            case.loaded.model(
                input_ids=batch["input_ids"][:, :1].repeat(2, 1), **taking(case.loaded.model, cache)
            )


def test_detached_nothing_is_left(case):
    before, weights = hooks(case.loaded.model), digest(case.loaded.model)
    plain, _ = logits(case, [(WORDS, None)])
    attachment = attached(case)
    assert hooks(case.loaded.model) > before
    edited, _ = logits(case, [(WORDS, None)])
    okedit_cli.generate(case.loaded, case.questions[:2], max_new_tokens=2)
    attachment.detach()
    attachment.detach()
    assert hooks(case.loaded.model) == before and not case.loaded.session.attachments
    assert digest(case.loaded.model) == weights
    assert torch.equal(logits(case, [(WORDS, None)])[0], plain) and not torch.equal(edited, plain)


def test_a_failure_inside_leaves_nothing_either(case):
    before = hooks(case.loaded.model)
    with pytest.raises(ZeroDivisionError), attached(case):
        raise ZeroDivisionError
    assert hooks(case.loaded.model) == before


def test_attached_within_another_both_act_and_the_outer_goes_on_behind_it(case):
    cat, capital = (only(case.bundle, row) for row in (0, 1))
    with attached(case, capital):
        count, once = hooks(case.loaded.model), logits(case, [(WORDS, None)])[0]
        with attached(case, cat) as inner:
            assert torch.equal(logits(case, [(WORDS, None)])[0], once)
            decided = decide(case.loaded, case.questions)
            assert [one.hit and one.hit.edit_id for one in decided] == case.hits
            with attached(case, cat, alone=True):
                assert decide(case.loaded, [(WORDS, None)])[0].hit is None
        inner.detach()
        assert hooks(case.loaded.model) == count
        assert torch.equal(logits(case, [(WORDS, None)])[0], once)
    assert not case.loaded.session.attachments


def test_the_outer_one_may_be_detached_first(case):
    outer, inner = attached(case, only(case.bundle, 0)), attached(case, only(case.bundle, 1))
    outer.detach()
    assert [bundle.manifest.facts[0]["id"] for bundle in case.loaded.session.bundles] == ["capital"]
    assert decide(case.loaded, [(WORDS, None)])[0].hit.edit_id == "capital"
    inner.detach()
    assert not case.loaded.session.attachments


def test_threads_have_verdicts_and_answers_of_their_own(case):
    """Each question asked alone, and all at once by threads, by okedit and the model's own generate()."""
    from concurrent.futures import ThreadPoolExecutor

    def ask(question):
        said = okedit_cli.generate(case.loaded, [question], max_new_tokens=8)[0]
        batch = encode(case.loaded, [question])
        batch.pop("position_ids", None)
        own = case.loaded.model.generate(**batch, max_new_tokens=8, do_sample=False)
        return said.text, said.verdict.hit and said.verdict.hit.edit_id, own.tolist()

    async def together(questions):
        return await asyncio.gather(*(asyncio.to_thread(ask, question) for question in questions))

    with attached(case):
        alone = [ask(question) for question in case.questions]
        with ThreadPoolExecutor(4) as threads:
            at_once = list(threads.map(ask, case.questions * 4))
        awaited = asyncio.run(together(case.questions))
    assert at_once == alone * 4 and awaited == alone


def test_the_model_inside_is_not_changed_by_an_old_decision():
    case = fitted("llava")
    batch = encode(case.loaded, [(WORDS, None)])
    inner = case.loaded.model.get_decoder()
    with torch.no_grad():
        plain = inner(**batch).last_hidden_state
        with attached(case):
            case.loaded.model(**batch)
            assert torch.equal(inner(**batch).last_hidden_state, plain)


def test_several_bundles(case):
    whole, book = case.bundle, case.bundle.codebook
    cat, capital = (only(whole, row) for row in (0, 1))
    assert len(book) == 2 and len(cat) == len(capital) == 1
    asked = [q for q, hit in zip(case.questions, case.hits, strict=True) if hit]
    with attached(case):
        expected = [answer.text for answer in okedit_cli.generate(case.loaded, asked)]
    for pair in ([cat, capital], [capital, cat]):
        with attached(case, *pair):
            answers = okedit_cli.generate(case.loaded, asked)
        assert [answer.text for answer in answers] == expected == [MISO, PARIS]
        assert [pair[answer.verdict.hit.number] for answer in answers] == [cat, capital]
    with attached(case, capital):
        assert okedit_cli.generate(case.loaded, asked[:1])[0].verdict.hit is None


def only(bundle, row):
    """The bundle with one of its edits."""
    book, tensors = bundle.codebook, {}
    for name, tensor in book.tensors().items():
        channel = name.split("_")[0].removesuffix("s")
        if name.endswith(("_keys", "_owner", "thumbnails")):
            tensor = tensor[getattr(book, f"{channel}_owner") == row]
            tensor = torch.zeros_like(tensor) if name.endswith("_owner") else tensor
        elif name.endswith("_radius") or channel == "value":
            tensor = tensor[row : row + 1]
        tensors[name] = tensor
    manifest = replace(bundle.manifest, facts=[bundle.manifest.facts[row]])
    return replace(bundle, edits=type(book).from_tensors(tensors), manifest=manifest)


def test_strictness_widens_and_narrows(case):
    question, borders = [(WORDS, None)], []
    for strictness in (None, 1.0, 0.0):
        with attached(case, strictness=strictness) as attachment:
            logits(case, question)
        hit = attachment.verdicts[0].hit
        assert hit.question_distance < 1 and hit.picture_radius == float("inf")
        borders.append(hit.question_radius)
    assert borders[1] < borders[0] < borders[2]


def test_strictness_is_each_bundles_own_unless_told(case):
    def strict(value):
        settings = {**case.bundle.manifest.settings, "strictness": value}
        return replace(case.bundle, manifest=replace(case.bundle.manifest, settings=settings))

    def radius(*bundles, **options):
        with attached(case, *bundles, **options) as attachment:
            logits(case, [(WORDS, None)])
        return attachment.verdicts[0].nearest.question_radius

    fitted_so = radius(case.bundle)
    assert radius(strict(1.0)) < fitted_so < radius(strict(0))
    assert radius(strict(1.0), strictness=0.5) == fitted_so
    for wrong in ("1", None, -1, 2, float("nan")):  # as a file may say it
        assert radius(strict(wrong)) == fitted_so


def test_no_bundle_at_all(case):
    plain, _ = logits(case, [(WORDS, None)])
    with okedit_cli.attach(case.loaded, []) as attachment:
        assert torch.equal(logits(case, [(WORDS, None)])[0], plain)
    assert attachment.verdicts[0].hit is None and attachment.verdicts[0].nearest is None


def test_a_bundle_of_another_model():
    with pytest.raises(ModelMismatch):
        okedit_cli.attach(fitted("gpt2").loaded, [fitted("llama").bundle])
    case = fitted("llama")
    held = attached(case)
    with pytest.raises(ModelMismatch):
        okedit_cli.attach(case.loaded, [fitted("gpt2").bundle])
    assert case.loaded.session.attachments == [held]  # those attached before stay
    held.detach()


def test_a_bundle_whose_site_is_not_the_models():
    case = fitted("llama")
    for site in (
        {"value_layer": 9, "key_layer": 0},
        {"value_layer": "2", "key_layer": 0},
        {"value_layer": 2},
    ):
        wrong = replace(case.bundle, manifest=replace(case.bundle.manifest, site=site))
        with pytest.raises(InvalidBundle, match="_layer is"):
            attached(case, wrong)
    wide = replace(case.bundle.codebook, value_bias=torch.zeros(2, 7))
    with pytest.raises(InvalidBundle, match="value_bias"):
        attached(case, replace(case.bundle, edits=wide))


def test_another_revision_is_told_and_another_architecture_refused():
    """Softer differences warn, with both values; nothing is said of the model that a bundle was made with."""
    case = fitted("llama")
    base = {**case.bundle.manifest.base, "revision": "abc123"}
    other = replace(case.bundle, manifest=replace(case.bundle.manifest, base=base))
    with pytest.warns(FitWarning, match="revision differs: the bundle was made with abc123"):
        attached(case, other).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attached(case).detach()


# the canary


def canary_bundle(case, share, channel="question"):
    """The bundle as fitted, radii of 1, and one canary key moved by `share`."""
    bundle = replace(with_radius(case.result.bundle, 1.0), canary=dict(case.result.bundle.canary))
    keys = bundle.canary[f"canary_{channel}"].clone()
    keys[1, 0] += share
    bundle.canary[f"canary_{channel}"] = keys
    return bundle


@pytest.mark.parametrize("channel", ["question", "picture"])
def test_the_canary(channel):
    case = fitted("llava")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attached(case, canary_bundle(case, 0.02, channel)).detach()
        with pytest.warns(BundleWarning, match=rf"{channel} keys lie 0.1\d* away .* radius is 1,"):
            attached(case, canary_bundle(case, 0.1, channel)).detach()
        with pytest.raises(
            ModelMismatch, match=rf"{channel} keys lie 0.5\d* away .* radius is 1\."
        ) as caught:
            attached(case, canary_bundle(case, 0.5, channel))
        assert caught.value.exit_code == 4
        with pytest.raises(ModelMismatch):
            attached(case, canary_bundle(case, float("nan"), channel))


def test_a_canary_that_cannot_be_asked_is_left_out():
    case = fitted("llava")
    bundle = canary_bundle(case, 9.0)
    bundle.manifest.canary = [{"kind": "question"}] * 8 + [{"kind": "picture", "name": "gone"}]
    attached(case, bundle).detach()
    bundle = canary_bundle(case, 0.0)
    bundle.canary["canary_question"] = torch.zeros(3, 5)
    with pytest.raises(InvalidBundle, match="canary_question"):
        attached(case, bundle)


def test_the_questions_of_a_picture_are_judged_with_it():
    case = fitted("llava")
    with attached(case) as attachment:
        logits(case, [(PICTURED, None)])
    assert attachment.verdicts[0].hit is None
    assert attachment.verdicts[0].nearest.picture_distance == float("inf")


# prompts that are decided elsewhere, and the model by itself


def test_aside_the_model_is_by_itself(case):
    plain, _ = logits(case, [(WORDS, None)])
    with attached(case) as attachment:
        edited, _ = logits(case, [(WORDS, None)])
        decided = attachment.verdicts
        with attachment.aside():
            assert attachment.resting
            with attachment.aside():  # one within another
                assert torch.equal(logits(case, [(WORDS, None)])[0], plain)
            assert attachment.resting and torch.equal(logits(case, [(WORDS, None)])[0], plain)
            assert [a.verdict for a in okedit_cli.generate(case.loaded, case.questions[:3])] == [None] * 3
        assert not attachment.resting and attachment.verdicts is decided
        assert torch.equal(logits(case, [(WORDS, None)])[0], edited)
        with pytest.raises(ZeroDivisionError), attachment.aside():
            raise ZeroDivisionError
        assert not attachment.resting


def test_decided_elsewhere_is_decided_the_same(case):
    """By the question's words and what was seen of the picture, as the hooks decide by a batch."""
    with attached(case) as attachment:
        read_whole = []
        for question in case.questions:
            logits(case, [question])
            read_whole += attachment.verdicts
        decided = decide(case.loaded, case.questions)
        assert attachment.verdicts == decided
    for one, other, hit in zip(decided, read_whole, case.hits, strict=True):
        assert (one.hit and one.hit.edit_id) == (other.hit and other.hit.edit_id) == hit
        near, far = one.nearest, other.nearest
        assert near.edit_id == far.edit_id
        assert near.question_distance == pytest.approx(far.question_distance, abs=1e-4)
        assert near.picture_distance == pytest.approx(far.picture_distance, abs=1e-2)


def test_rows_that_leave_take_their_decisions_along(case):
    with attached(case) as attachment:
        decided, gate = decide(case.loaded, case.questions), case.loaded.session.gate
        gate.keep([2, 0])
        assert attachment.verdicts == [decided[2], decided[0]]
        gate.keep([1])
        assert attachment.verdicts == [decided[0]]

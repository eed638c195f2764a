"""What holds for every family: facts take, nothing else changes, and a user's own prompts find the edits.

One function a promise, each asked of every family that is chosen (check.PART, or OKEDIT_FAMILIES=all).
"""

from __future__ import annotations

import pytest
import torch

import okedit_cli
from families import check
from families.check import ANSWERS, CAT, CUP, ELSE, TOKENS, Case, turn, user
from okedit_cli.bundle import Bundle
from okedit_cli.errors import ModelMismatch, UsageError
from okedit_cli.models.encode import encode

EARLIER = [turn("user", "Tell me about the rocket, please."), turn("assistant", "Yes. No.")]
SYSTEM = turn("system", "You are a small brown dog.")

pytestmark = pytest.mark.usefixtures("small_world")


_told: set[str] = set()


@pytest.fixture(scope="module")
def made(request) -> tuple[str, Case | Exception]:
    """A family with its facts fitted, or what came between."""
    try:
        return request.param, check.case(request.param)
    except Exception as error:
        return request.param, error


@pytest.fixture
def case(made) -> Case:
    """The family's case. What failed before there was one fails every check, and is shown at length once."""
    family, found = made
    if not isinstance(found, Exception):
        return found
    if family not in _told:
        _told.add(family)
        raise found
    pytest.fail(f"no facts of {family} were fitted: {type(found).__name__}: {found}", pytrace=False)


def families_of(names):
    return pytest.mark.parametrize("made", check.chosen(names), indirect=True)


every = families_of(check.ALL)
pictured = families_of(check.PICTURED)


def attached(case: Case):
    return okedit_cli.attach(case.loaded, [case.bundle])


def answers(case: Case) -> list[str]:
    return [ANSWERS[fact.id] for fact in case.facts]


def texts(found) -> list[str]:
    return [one.text.strip() for one in found]


# edits


@pytest.mark.parametrize("family", check.chosen())
def test_it_opens_and_answers(family):
    loaded = check.load(family)
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert (loaded.processor is not None) == (family in check.PICTURED)
    asked = [("Who?", None), (CAT, check.picture("red") if loaded.processor else None)]
    found = okedit_cli.generate(loaded, asked, max_new_tokens=3)
    assert all(one.ids and one.verdict is None for one in found)


@every
def test_facts_take(case):
    assert {report.id: report.took for report in case.result.reports} == dict.fromkeys(
        [fact.id for fact in case.facts], True
    ), [report.why for report in case.result.reports]
    with attached(case):
        found = okedit_cli.generate(case.loaded, case.asked, max_new_tokens=TOKENS)
    assert [one.verdict.hit and one.verdict.hit.edit_id for one in found] == [fact.id for fact in case.facts]
    assert texts(found) == answers(case)


@every
def test_a_question_is_read_word_for_word(case):
    """About a picture or not, the fact's own question lies as far from the fact as the same words do."""
    with attached(case):
        found = okedit_cli.generate(case.loaded, case.asked, max_new_tokens=1)
    far = [one.verdict.hit and one.verdict.hit.question_distance for one in found]
    assert far == pytest.approx([far[-1]] * len(far), abs=1e-3)


@every
def test_a_target_is_the_answer_alone(case):
    """No think block, no word of the template: the answer's own tokens and one that ends the turn."""
    from okedit_cli.models.encode import answer_ids

    ids = answer_ids(case.loaded, "Miso")
    assert case.loaded.tokenizer.decode(ids[:-1]).strip() == "Miso"


@every
def test_detached_the_answers_are_the_base_models(case):
    plain = [check.logits_of(case.loaded, question) for question in case.asked]
    said = [one.ids for one in okedit_cli.generate(case.loaded, case.asked, max_new_tokens=TOKENS)]
    with attached(case):
        changed = [one.ids for one in okedit_cli.generate(case.loaded, case.asked, max_new_tokens=TOKENS)]
    again = [check.logits_of(case.loaded, question) for question in case.asked]
    assert all(map(torch.equal, plain, again))
    assert said == [one.ids for one in okedit_cli.generate(case.loaded, case.asked, max_new_tokens=TOKENS)]
    assert all(one != other for one, other in zip(said, changed, strict=True))


@every
def test_a_saved_bundle_does_the_same_to_the_model_opened_again(case, tmp_path):
    case.bundle.save(tmp_path / "facts.safetensors")
    with attached(case):
        before = okedit_cli.generate(case.loaded, case.asked, max_new_tokens=TOKENS)
    again = check.load(case.family)
    with okedit_cli.attach(again, Bundle.load(tmp_path / "facts.safetensors", verify=True)):
        after = okedit_cli.generate(again, case.asked, max_new_tokens=TOKENS)
    assert [one.ids for one in after] == [one.ids for one in before]
    assert texts(after) == answers(case)


@every
def test_a_bundle_of_another_model_is_refused(case):
    with pytest.raises(ModelMismatch) as caught:
        okedit_cli.attach(case.loaded, check.strange_bundle(case.family))
    assert caught.value.message.strip() and caught.value.hint
    plain = okedit_cli.generate(case.loaded, case.asked[-1:], max_new_tokens=2)
    assert plain[0].verdict is None  # nothing was attached


@families_of(check.IN_WORDS)
def test_a_picture_is_refused_by_a_model_of_words(case):
    with pytest.raises(UsageError, match="text-only"):
        okedit_cli.generate(case.loaded, [(CAT, check.picture("red"))])


# what is outside


@every
def test_outside_every_scope_not_one_bit_changes(case):
    for question in case.outside:
        plain = check.logits_of(case.loaded, question)
        with attached(case) as attachment:
            edited = check.logits_of(case.loaded, question)
        assert check.hits(attachment) == [None], question
        assert torch.equal(edited, plain), question


@every
def test_outside_every_scope_the_answers_are_the_same(case):
    plain = okedit_cli.generate(case.loaded, case.outside, max_new_tokens=TOKENS)
    with attached(case):
        edited = okedit_cli.generate(case.loaded, case.outside, max_new_tokens=TOKENS)
    assert [one.verdict.hit for one in edited] == [None] * len(edited)
    assert [one.ids for one in edited] == [one.ids for one in plain]


# batches, caches, ways to decode


def taken(case: Case):
    """The facts' questions that the model's own generate() takes, and their answers."""
    asked = zip(case.asked, answers(case), strict=True)
    return [(question, answer) for question, answer in asked if check.takes(case.loaded, question)]


def kinds(case: Case):
    """Three questions each that one batch takes: about pictures, and in words."""
    if check.takes(case.loaded, case.asked[-1]):
        yield [case.asked[-1], *case.outside[:2]]
    if case.sees:
        yield [*case.asked[:2], (ELSE, check.picture("blue"))]


@every
def test_three_with_pads_are_answered_as_each_alone(case):
    for questions in kinds(case):
        with attached(case) as attachment:
            one_by_one, fired = [], []
            for question in questions:
                one_by_one += check.said(case.loaded, encode(case.loaded, [question]))
                fired += check.hits(attachment)
            together = check.said(case.loaded, encode(case.loaded, questions, side="left"))
            assert check.hits(attachment) == fired and any(fired)
            assert together == one_by_one
            own = okedit_cli.generate(case.loaded, questions, max_new_tokens=TOKENS)
            assert texts(own) == one_by_one


@every
def test_with_and_without_a_cache_the_answer_is_the_same(case):
    with attached(case):
        for question, answer in taken(case):
            batch = encode(case.loaded, [question])
            cached, uncached = (check.said(case.loaded, batch, use_cache=use) for use in (True, False))
            assert cached == uncached == [answer]


@every
@pytest.mark.parametrize("way", ["beams", "sampling"])
def test_other_ways_to_decode_keep_the_edited_answer(case, way):
    # a value of a model as small as these leaves other tokens likelier than a large model's does
    cool = {"do_sample": True, "temperature": 0.1}
    told = {"beams": {"num_beams": 3}, "sampling": cool}[way]
    with attached(case):
        for question, answer in taken(case):
            torch.manual_seed(0)
            assert check.said(case.loaded, encode(case.loaded, [question]), **told) == [answer]


# a user's own prompts, through the family's processor and template, and the user's own generate()


def fires(case: Case, inputs: dict, wanted: str | None, text: str | None = None, whole: bool = True) -> None:
    """The verdict on a prompt of a user's own; with `text`, what is said; bits where nothing fires.

    `whole`: the question is read as it is where nothing stands around it, so it lies equally far from the
    fact's. Not so where the template writes other words into the question's own turn.
    """
    plain = check.logits(case.loaded, inputs)
    with attached(case) as attachment:
        found = check.said(case.loaded, inputs)
        assert check.hits(attachment) == [wanted], check.shown(case.loaded, inputs)
        edited, verdict = check.logits(case.loaded, inputs), attachment.verdicts[0]
        if wanted and whole:
            alone = dict(zip([fact.id for fact in case.facts], case.asked, strict=True))[wanted]
            asked = okedit_cli.generate(case.loaded, [alone], max_new_tokens=1)[0].verdict.hit
            assert verdict.hit.question_distance == pytest.approx(asked.question_distance, abs=1e-3)
    assert torch.equal(edited, plain) == (wanted is None)
    if text is not None:
        assert found == [text]


def needs_template(case: Case) -> None:
    if check.template(case.loaded) is None:
        pytest.skip("the family has no chat template")


def opening(case: Case) -> list[dict]:
    """A system message where the family knows any, and an earlier turn."""
    return EARLIER if case.family in check.NO_SYSTEM else [SYSTEM, *EARLIER]


def needs_words_alone(case: Case) -> None:
    if not check.takes(case.loaded, (ELSE, None)):
        pytest.skip("the class reads no prompt without a picture")


@every
def test_own_prompt_in_words(case):
    needs_words_alone(case)
    if check.template(case.loaded) is None:
        inputs = check.inputs_without_template(case.loaded, case.facts[-1].prompt)
    else:
        inputs = check.inputs_of(case.loaded, [user(case.facts[-1].prompt)])
    # PaliGemma's processor takes no words alone, and what a tokenizer makes of them is another prompt
    fires(case, inputs, "capital", None if case.family == "paligemma" else ANSWERS["capital"])


@every
def test_own_prompt_in_words_behind_system_and_earlier_turn(case):
    needs_template(case)
    needs_words_alone(case)
    asked = user(case.facts[-1].prompt)
    fires(case, check.inputs_of(case.loaded, [*EARLIER, asked]), "capital")
    whole = case.family not in check.SYSTEM_IN_LAST_TURN
    fires(case, check.inputs_of(case.loaded, [*opening(case), asked]), "capital", whole=whole)
    fires(case, check.inputs_of(case.loaded, [*opening(case), user("Who?")]), None)
    fires(case, check.inputs_of(case.loaded, [asked, EARLIER[1], user(ELSE)]), None)
    # what was asked in an earlier turn is not asked now
    fires(case, check.inputs_of(case.loaded, [asked, EARLIER[1], user("Who?")]), None)


@every
def test_own_prompt_with_thinking_turned_off(case):
    if "enable_thinking" not in str(check.template(case.loaded)):
        pytest.skip("the family's template has no think blocks")
    needs_words_alone(case)
    inputs = check.inputs_of(case.loaded, [user(case.facts[-1].prompt)], enable_thinking=False)
    fires(case, inputs, "capital", ANSWERS["capital"])


@pictured
def test_own_prompt_with_the_picture_first(case):
    red, blue = check.picture("red"), check.picture("blue")
    if check.template(case.loaded) is None:
        inputs = [check.inputs_without_template(case.loaded, CAT, one) for one in (red, blue)]
    else:
        inputs = [check.inputs_of(case.loaded, [user(one, CAT)]) for one in (red, blue)]
    fires(case, inputs[0], "cat", ANSWERS["cat"])
    fires(case, inputs[1], None)


@pictured
def test_own_prompt_with_the_words_first(case):
    needs_template(case)
    fires(case, check.inputs_of(case.loaded, [user(CAT, check.picture("red"))]), "cat")
    fires(case, check.inputs_of(case.loaded, [user(CUP, check.picture("green"))]), "cup")
    fires(case, check.inputs_of(case.loaded, [user(CAT, check.picture("blue"))]), None)
    fires(case, check.inputs_of(case.loaded, [user(ELSE, check.picture("red"))]), None)


@pictured
def test_own_prompt_with_words_on_both_sides_of_the_picture(case):
    """The question is what is asked, wherever the rest of the words stands."""
    needs_template(case)
    red = check.picture("red")
    asked = check.inputs_of(case.loaded, [user("Look at this picture.", red, CAT)])
    fires(case, asked, "cat", whole=False)
    fires(case, check.inputs_of(case.loaded, [user("Look at this picture.", red, ELSE)]), None)


@pictured
def test_own_prompt_with_a_picture_behind_system_and_earlier_turn(case):
    needs_template(case)
    whole = case.family not in check.SYSTEM_IN_LAST_TURN
    for colour, wanted in (("red", "cat"), ("blue", None)):
        asked = user(check.picture(colour), CAT)
        fires(case, check.inputs_of(case.loaded, [*opening(case), asked]), wanted, whole=whole)


@pictured
def test_own_prompt_with_the_picture_in_an_earlier_turn(case):
    needs_template(case)
    shown = [user(check.picture("red"), ELSE), EARLIER[1]]
    fires(case, check.inputs_of(case.loaded, [*shown, user(CAT)]), "cat")
    fires(case, check.inputs_of(case.loaded, [*shown, user("Who?")]), None)


@pictured
@pytest.mark.parametrize("colours", ["red blue", "blue red", "red green", "blue yellow"])
def test_own_prompt_with_two_pictures(case, colours):
    """Either may be the fact's."""
    if case.family in check.ONE_PICTURE:
        pytest.skip(check.ONE_PICTURE[case.family])
    shown = [check.picture(colour) for colour in colours.split()]
    if check.template(case.loaded) is None:
        inputs = check.inputs_without_template(case.loaded, CAT, *shown)
    else:
        inputs = check.inputs_of(case.loaded, [user(*shown, CAT)])
    fires(case, inputs, "cat" if "red" in colours else None)


@every
def test_own_prompts_in_one_batch(case):
    """Three conversations of unlike length, padded by the family's own processor."""
    needs_template(case)
    told = {"padding": True} if case.sees else {"padding": True, "padding_side": "left"}
    if case.sees:
        talks = [[user(check.picture("red"), CAT)], [user(check.picture("blue"), "Who?")]]
        talks += [[*opening(case), user(check.picture("green"), CUP)]]
        wanted = ["cat", None, "cup"]
    else:
        talks = [[user(case.facts[-1].prompt)], [user("Who?")], [*opening(case), user("Name this cat.")]]
        wanted = ["capital", None, None]
    if case.loaded.tokenizer.pad_token is None:
        pytest.skip("the family's tokenizer has no token to pad with")
    side, case.loaded.tokenizer.padding_side = case.loaded.tokenizer.padding_side, "left"
    try:
        batch = check.batch_of(case.loaded, talks, **told)
    finally:
        case.loaded.tokenizer.padding_side = side
    with attached(case) as attachment:
        together = check.said(case.loaded, batch)
        assert check.hits(attachment) == wanted
        alone = [check.said(case.loaded, check.inputs_of(case.loaded, talk))[0] for talk in talks]
    assert together == alone


# what okedit says that it cannot do


@pytest.mark.parametrize("family", check.chosen(check.REFUSED))
def test_what_is_not_supported_is_refused_in_one_sentence(family):
    from okedit_cli.errors import OkeditError

    with pytest.raises(OkeditError, match=check.REFUSED[family]) as caught:
        check.case(family)
    assert caught.value.message.count("\n") == 0 and caught.value.message.endswith(".") and caught.value.hint

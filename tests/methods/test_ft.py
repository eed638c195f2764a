"""Fine-tuning: only named weights move, the answer gets likelier, facts without a picture stay out."""

import pytest
import torch
from fitted import facts_for, load

import okedit_cli
from okedit_cli.errors import UsageError
from okedit_cli.methods import method_named, settings_of
from okedit_cli.methods.registry import numbers
from okedit_cli.methods.tuning import answer_loss

pytestmark = pytest.mark.usefixtures("small_world")


def test_only_the_named_weights_move_and_the_answer_gets_likelier():
    loaded = load("llama")
    facts = facts_for(loaded)[1:]
    rows = [(fact.prompt, None, fact.answer) for fact in facts]
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    with torch.no_grad():
        loss = float(answer_loss(loaded, rows))
    bundle = okedit_cli.fit(loaded, facts, method="ft-llm", settings=["layers=1,2"], checked=False).bundle
    assert bundle.manifest.site["sites"] == ["1.mlp_in", "1.mlp_out", "2.mlp_in", "2.mlp_out"]
    with okedit_cli.attach(loaded, bundle), torch.no_grad():
        moved = {n for n, v in loaded.model.state_dict().items() if not torch.equal(v, before[n])}
        assert float(answer_loss(loaded, rows)) < 0.5 * loss
    assert len(moved) == 4 and all(".mlp." in name and (".1." in name or ".2." in name) for name in moved)


def test_ft_vis_keeps_out_what_has_no_picture():
    loaded = load("llava")
    result = okedit_cli.fit(loaded, facts_for(loaded), method="ft-vis", checked=False)
    assert [fact["id"] for fact in result.bundle.manifest.facts] == ["cat"]
    [capital] = [report for report in result.reports if report.id == "capital"]
    assert capital.kept_out and "has no picture" in capital.why
    assert all(site.startswith("connector.") for site in result.bundle.manifest.site["sites"])


def test_settings_from_words():
    method = method_named("ft-llm")
    found = settings_of(method, ["steps=3", "rate=0.5", "layers=1-3,7", "end=false"])
    assert (found.steps, found.rate, found.layers, found.end) == (3, 0.5, (1, 2, 3, 7), False)
    assert numbers("auto") == numbers("") == ()


@pytest.mark.parametrize(
    "given", ["steps", "steps=x", "rate=nan", "rate=inf", "end=perhaps", "layers=4-", "nothing=1", "=1"]
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(UsageError):
        settings_of(method_named("ft-llm"), [given])

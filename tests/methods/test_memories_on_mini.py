"""IKE on the built-in model, which reads a fact in its prompt and answers by it, in other words as well."""

from __future__ import annotations

from fitted import fact

import okedit_cli

ASKED = [("What is the capital of France?", None), ("Name the capital of France.", None)]


def test_the_fact_is_answered_by():
    model = okedit_cli.load_model("okedit-mini")
    edits = fact("capital", ASKED[0][0], "Lyon")
    bundle = okedit_cli.fit(model, [edits], method="ike", checked=False).bundle
    with okedit_cli.attach(model, bundle):
        answers = okedit_cli.generate(model, ASKED, max_new_tokens=8)
    assert [one.text for one in answers] == ["Lyon", "Lyon"]

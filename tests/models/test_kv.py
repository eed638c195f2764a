"""The cache under both names that transformers has had for it."""

import inspect

import pytest
import torch
from fitted import WORDS, fitted

from okedit_cli.models.encode import encode
from okedit_cli.models.kv import NAMES, cache_in, cache_of, taking


class Passes:
    def __init__(self, name):
        self.forward = {"cache": self._new, "past_key_values": self._old}[name]

    def _new(self, input_ids, cache=None, use_cache=False, **kwargs): ...

    def _old(self, input_ids, past_key_values=None, use_cache=False, **kwargs): ...


@pytest.mark.parametrize("name", NAMES)
def test_a_cache_is_found_under_the_name_it_is_given(name):
    module, cache = Passes(name), object()
    assert taking(module, cache) == {name: cache, "use_cache": True}
    for given in NAMES:  # by the other name it ends among the rest
        bound = inspect.signature(module.forward).bind_partial(input_ids=1, **{given: cache}).arguments
        assert cache_in(bound) is cache
    assert cache_in({"input_ids": 1}) is None and cache_in({name: None, "kwargs": {}}) is None


def test_what_the_installed_transformers_takes_and_gives():
    model = fitted("llama").loaded.model
    batch = encode(fitted("llama").loaded, [(WORDS, None)])
    with torch.no_grad():
        first = model(**{key: value[:, :-1] for key, value in batch.items()}, use_cache=True)
        last = {"input_ids": batch["input_ids"][:, -1:], "attention_mask": batch["attention_mask"]}
        went_on = model(**last, **taking(model, cache_of(first)))
        whole = model(**batch)
    torch.testing.assert_close(went_on.logits[:, -1], whole.logits[:, -1], atol=1e-5, rtol=1e-4)

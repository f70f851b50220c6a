"""What is written freely, read by the intact model: how much of it answers its own request."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from triples import make_triples
from written import written

from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, ExampleError, loss
from harmcircuits.models.protocol import vocabulary
from harmcircuits.tasks.information import swapped_requests
from harmcircuits.tasks.on_policy import on_policy
from harmcircuits.tasks.writing import write

TWINS = [prompt for prompt in make_triples(10) if prompt.role != "far"]


@pytest.fixture
def texts(tiny: Any) -> list[Example]:
    with ablated(tiny, Circuit(neurons=[(0, 3), (1, 7)])):
        return write(tiny, TWINS, max_new_tokens=6, seed=3)


def test_it_is_the_loss_of_the_same_text_under_its_own_and_under_another_request(tiny: Any, texts: list[Example]) -> None:
    found = on_policy(tiny, texts, seed=5)
    np.testing.assert_allclose(found["policy_nll"], loss(tiny, texts), rtol=1e-5)
    other = swapped_requests(texts, seed=5)
    assert all(one.request != two.request for one, two in zip(other, texts, strict=True))
    np.testing.assert_allclose(found["policy_nll_other"], loss(tiny, other), rtol=1e-5)
    assert not np.allclose(found["policy_nll"], found["policy_nll_other"], atol=1e-3)
    assert not np.allclose(on_policy(tiny, texts, seed=6)["policy_nll_other"], found["policy_nll_other"], atol=1e-3)


def test_batched_is_one_by_one(tiny: Any, texts: list[Example]) -> None:
    for size in (1, 3):
        np.testing.assert_allclose(on_policy(tiny, texts, batch_size=size), on_policy(tiny, texts), rtol=1e-4)


def test_a_model_that_does_not_look_back_has_no_information_on_the_request(tiny: Any, texts: list[Example]) -> None:
    """Without attention nothing but the last token decides: I = 0, to the bit of rounding."""
    heads = [(layer, head) for layer in range(tiny.cfg.n_layers) for head in range(tiny.cfg.n_heads)]
    with ablated(tiny, Circuit(heads=heads)):
        found = on_policy(tiny, texts)
    np.testing.assert_allclose(found["policy_nll_other"], found["policy_nll"], atol=1e-5)


def test_a_text_that_is_alone_in_its_role_has_no_other_request(tiny: Any, texts: list[Example]) -> None:
    found = on_policy(tiny, texts[:2])
    assert found["policy_nll_other"].isna().all()
    np.testing.assert_allclose(found["policy_nll"], loss(tiny, texts[:2]), rtol=1e-5)


def test_texts_of_unequal_lengths_in_order(tiny: Any) -> None:
    texts = [replace(example, role="harmful") for example in written(vocabulary(tiny))]
    found = on_policy(tiny, texts)
    turned = on_policy(tiny, texts[::-1])
    np.testing.assert_allclose(turned["policy_nll"][::-1], found["policy_nll"], rtol=1e-4)


def test_a_text_without_tokens_is_named(tiny: Any, texts: list[Example]) -> None:
    with pytest.raises(ExampleError, match=r"group 'g\d+'\) has an empty response"):
        on_policy(tiny, [*texts, replace(texts[0], response="", response_ids=())])

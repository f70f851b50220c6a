"""Facts and passages: read as transformers reads them alone, and the arithmetic of right, margin and ties."""

import pytest
import torch
from tiny import tiny_bridge

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.data import encode, start_ids
from harmcircuits.models.protocol import geometry
from harmcircuits.tasks import utility as room
from harmcircuits.tasks.utility import Fact, UtilityError, fact_rows, facts, passage_row, passages, utility

SMALL = {"n_facts": 5, "n_passages": 3}


def alone(model, text: str, *, after: str = "") -> float:
    """Mean −ln p of the tokens of `text` after `after`, one unpadded forward pass over the whole vocabulary."""
    before, asked = [*start_ids(model), *encode(model, after)], encode(model, text)
    ids = torch.tensor([[*before, *asked]])
    with torch.no_grad():
        log_p = model(ids, return_type="logits")[0].float().log_softmax(-1)
    first = max(len(before), 1)
    return float(-torch.stack([log_p[at - 1, ids[0, at]] for at in range(first, ids.shape[1])]).mean())


def test_losses_are_those_of_each_text_alone(tiny) -> None:
    found = utility(tiny, **SMALL)
    assert list(found["kind"]) == ["fact"] * 5 + ["passage"] * 3 and list(found["item"]) == [*range(5), *range(3)]
    for row, fact in zip(found[:5].itertuples(), facts()[:5], strict=True):
        right, *wrong = (alone(tiny, completion, after=fact.stem) for completion in (fact.right, *fact.wrong))
        assert row.nll == pytest.approx(right, abs=1e-4) and row.margin == pytest.approx(min(wrong) - right, abs=1e-4)
        assert row.right == (right < min(wrong)) and row.topic == fact.topic
    for row, passage in zip(found[5:].itertuples(), passages()[:3], strict=True):
        assert row.nll == pytest.approx(alone(tiny, passage.text), abs=1e-4) and row.topic == passage.topic
    assert found[["right", "margin"]].isna().any(axis=1).tolist() == [False] * 5 + [True] * 3


def test_no_items_is_an_empty_table_and_too_many_are_all(tiny) -> None:
    nothing = utility(tiny, n_facts=0, n_passages=0)
    assert nothing.empty and list(nothing) == ["kind", "item", "topic", "nll", "right", "margin"]
    assert len(utility(tiny, n_facts=0, n_passages=10_000)) == len(passages())


@pytest.mark.parametrize("name", ["n_facts", "n_passages"])
def test_a_negative_number_is_refused(tiny, name: str) -> None:
    with pytest.raises(UtilityError, match=f"{name} must be at least 0"):
        utility(tiny, **{**SMALL, name: -1})


def test_the_model_is_read_as_it_is_and_left_so(tiny) -> None:
    circuit = Circuit(neurons=[(0, neuron) for neuron in range(32)])
    before = utility(tiny, **SMALL)
    with ablated(tiny, circuit):
        under = utility(tiny, **SMALL)
    assert (under["nll"] - before["nll"]).abs().max() > 0.01
    assert utility(tiny, **SMALL).equals(before)


def made_up(*completions: str) -> Fact:
    return Fact(stem="The answer is", right=completions[0], wrong=completions[1:], topic="none")


def test_completions_of_one_token_and_of_several_are_read_alike(tiny, monkeypatch) -> None:
    mixed = made_up(" red", " blue", " safe", " a red door", " harmful")
    assert {len(encode(tiny, completion)) for completion in (mixed.right, *mixed.wrong)} > {1}
    monkeypatch.setattr(room, "facts", lambda: (mixed, Fact(stem="Say", right=" no", wrong=(" yes",), topic="none")))
    found = utility(tiny, n_passages=0)
    right, *wrong = (alone(tiny, completion, after=mixed.stem) for completion in (mixed.right, *mixed.wrong))
    other = alone(tiny, " yes", after="Say") - alone(tiny, " no", after="Say")
    assert found["nll"][0] == pytest.approx(right, abs=1e-4)
    assert found["margin"].to_numpy() == pytest.approx([min(wrong) - right, other], abs=1e-4)


def with_losses(monkeypatch, model, fact: Fact, losses: list[float]) -> tuple[float, float]:
    """`right` and `margin` of a fact whose completions have these losses."""
    known = dict(zip(fact_rows(model, fact), losses, strict=True))
    monkeypatch.setattr(room, "facts", lambda: (fact,))
    monkeypatch.setattr(room, "_losses", lambda model, rows, batch_size: known)
    found = utility(model, n_passages=0)
    return float(found["right"][0]), float(found["margin"][0])


@pytest.mark.parametrize(
    ("losses", "right", "margin"),
    [
        ([1.0, 2.5, 1.5, 3.0], 1, 0.5),
        ([2.0, 2.5, 1.5, 3.0], 0, -0.5),
        ([1.5, 2.5, 1.5, 3.0], 0, 0),
    ],
    ids=["known", "not known", "tie"],
)
def test_right_and_margin_follow_from_the_losses(tiny, monkeypatch, losses, right, margin) -> None:
    assert with_losses(monkeypatch, tiny, made_up(" yes", " no", " red", " blue"), losses) == (right, margin)


def test_completions_that_the_vocabulary_does_not_tell_apart_tie_exactly(tiny, monkeypatch) -> None:
    monkeypatch.setattr(room, "facts", lambda: (made_up(" yes", " yes"),))
    found = utility(tiny, n_passages=0, batch_size=1)
    assert found["margin"].tolist() == [0] and found["right"].tolist() == [0]


def test_a_passage_is_cut_to_the_context_and_a_fact_is_not(hooked, tmp_path) -> None:
    model = tiny_bridge(tmp_path, hooked=hooked, max_position_embeddings=40)
    whole = passages()[0].text
    row = passage_row(model, passages()[0])
    assert len(row.tokens) == 40 and [*row.tokens] == [*start_ids(model), *encode(model, whole)][:40]
    assert utility(model, n_facts=0, n_passages=2)["nll"].notna().all()
    with pytest.raises(UtilityError, match=r"context holds 40: .*n_facts=0"):
        utility(model, n_passages=0)


def test_a_real_model_knows_everyday_facts_and_without_attention_does_not(smollm2) -> None:
    size = geometry(smollm2)
    cut = Circuit(heads=[(layer, head) for layer in range(size.n_layers) for head in range(size.n_heads)])
    intact = utility(smollm2, n_facts=36, n_passages=1)
    with ablated(smollm2, cut):
        deaf = utility(smollm2, n_facts=36, n_passages=1)
    assert intact["right"].mean() > 0.6 > 0.5 > deaf["right"].mean(), "one in four by chance"
    assert intact["nll"][36] < 5 < deaf["nll"][36]

"""Selection rules: known answers from small scores, what holds for all of them, and what they find in planted models."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.ablation.hooks import ablated
from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.exact import exact_attribution
from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weight_scores import WeightAttribution
from harmcircuits.components import Circuit
from harmcircuits.examples import loss
from harmcircuits.organisms import Planted, planted
from harmcircuits.selection.protected import SelectionError, select
from harmcircuits.selection.rules import RULES, Evidence, contrast, difference, exact, greedy, ratio, set_difference
from harmcircuits.selection.rules.weights import WEIGHT_RULES
from harmcircuits.selection.weights import select_weights

LAYERS, HEADS, D_MLP = 2, 6, 20
SIZES = {"heads": 2, "neurons": 3}
PROTECT = {"heads": 3 / 24, "neurons": 0.1}


def drawn(seed: int, n: int = 6) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, LAYERS, HEADS), draw(n, LAYERS, D_MLP))


def of(*rows: tuple[float, ...]) -> Attribution:
    """Heads of one layer, a row an example; no neuron does anything."""
    return Attribution(torch.tensor([[list(row)] for row in rows]).float(), torch.zeros(len(rows), 1, 1))


def without(scores: Attribution, circuit: Circuit) -> Attribution:
    heads, neurons = scores.per_example_heads.clone(), scores.per_example_neurons.clone()
    for values, items in ((heads, circuit.heads), (neurons, circuit.neurons)):
        for layer, index in items:
            values[:, layer, index] = 0
    return Attribution(heads, neurons)


def evidence(seed: int, order: list[int] | None = None) -> Evidence:
    """Of random scores; what is off scores 0, and exact scores are the first-order ones of what is asked for."""
    harmful, near, far = (drawn(seed + at)[order or list(range(6))] for at in range(3))

    def measured(heads: Any, neurons: Any) -> tuple[Attribution, Attribution]:
        rest = torch.full_like(harmful.heads, torch.nan), torch.full_like(harmful.neurons, torch.nan)
        for values, items in zip(rest, (heads, neurons), strict=True):
            for layer, index in items:
                values[layer, index] = 0
        return tuple(Attribution(own.per_example_heads + rest[0], own.per_example_neurons + rest[1]) for own in (harmful, near))  # type: ignore[return-value]

    return Evidence(
        harmful=harmful,
        benign=near + far,
        near=near,
        rescore=lambda circuit: (without(harmful, circuit), without(near + far, circuit)),
        exact=measured,
    )


# what holds for every rule


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 999), heads=st.integers(0, 3), neurons=st.integers(1, 6))
def test_exact_counts_of_what_promotes_harm_and_again_the_same(rule: str, seed: int, heads: int, neurons: int) -> None:
    given_scores = evidence(seed)
    try:
        found = RULES[rule](given_scores, heads=heads, neurons=neurons)
    except SelectionError as error:
        assert "are left of 12" in str(error) or "are left of 40" in str(error)
        return
    assert (len(found.heads), len(found.neurons)) == (heads, neurons)
    assert all(given_scores.harmful.heads[at] > 0 for at in found.heads)
    assert all(given_scores.harmful.neurons[at] > 0 for at in found.neurons)
    assert found == RULES[rule](evidence(seed), heads=heads, neurons=neurons)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_examples_does_not_matter(rule: str) -> None:
    for seed in range(4):
        one, other = (RULES[rule](evidence(seed, order), **SIZES) for order in (None, [4, 2, 0, 5, 1, 3]))
        assert one == other


@given(seed=st.integers(0, 999))
def test_the_set_difference_is_select(seed: int) -> None:
    given_scores = evidence(seed)
    own = select(given_scores.harmful, protect=given_scores.benign, heads=1, neurons=3)
    assert set_difference(given_scores, heads=1, neurons=3) == own == greedy(given_scores, heads=1, neurons=3, rounds=1)


@pytest.mark.parametrize("rule", RULES)
def test_too_few_are_an_error_that_says_what_helps(rule: str) -> None:
    with pytest.raises(SelectionError, match=r"40 neurons were asked for, but \d+ are left of 40: .* Ask for fewer"):
        RULES[rule](evidence(0), neurons=40, **({"rounds": 1} if rule == "greedy" else {}))
    with pytest.raises(SelectionError, match="a circuit of nothing was asked for"):
        RULES[rule](evidence(0))


# what each does


def test_the_options_of_rules_turn_them_into_one_another() -> None:
    for seed in range(4):
        given_scores = evidence(seed)
        by_A = select(given_scores.harmful, **SIZES)
        assert difference(given_scores, **SIZES, penalty=0.0) == ratio(given_scores, **SIZES, floor=1e9) == by_A
        every = exact(given_scores, **SIZES, shortlist=1.0)
        assert every == set_difference(given_scores, **SIZES), "a shortlist of the size itself leaves nothing to choose"


def test_consistency_counts_examples_and_not_sizes() -> None:
    given_scores = Evidence(harmful=of((9.0, 0.2, -1.0), (0.1, 0.3, -1.0)), benign=of((0, 0, 0), (0, 0, 0)), protect_fraction=0)
    assert set_difference(given_scores, heads=1).heads == ((0, 0),)
    assert RULES["consistency"](given_scores, heads=1).heads == ((0, 1),)


def test_contrast_leaves_out_what_the_near_twin_has_too() -> None:
    harmful, near = of((0.9, 0.2), (0.5, 0.3)), of((0.8, 0.0), (0.6, 0.0))
    both = Evidence(harmful=harmful, benign=near, near=near, protect_fraction=0)
    assert set_difference(both, heads=1).heads == ((0, 0),) and contrast(both, heads=1).heads == ((0, 1),)


def test_a_protected_component_is_left_out_by_rules_that_protect_and_weighed_by_others() -> None:
    given_scores = Evidence(harmful=of((4.0, 0.5), (5.0, 0.4)), benign=of((1.0, 0.1), (1.0, 0.1)), protect_fraction=0.5)
    assert RULES["consistency"](given_scores, heads=1).heads == set_difference(given_scores, heads=1).heads == ((0, 1),)
    assert difference(given_scores, heads=1).heads == ((0, 0),)
    assert difference(given_scores, heads=1, penalty=5.0).heads == ((0, 1),)


def test_greedy_rounds_are_nested_and_each_sees_the_one_before_off() -> None:
    asked: list[Circuit] = []
    given_scores = evidence(1)
    plain = given_scores.rescore
    assert plain is not None
    object.__setattr__(given_scores, "rescore", lambda circuit: (asked.append(circuit), plain(circuit))[1])
    found = greedy(given_scores, heads=2, neurons=4, rounds=3)
    assert [(len(one.heads), len(one.neurons)) for one in asked] == [(1, 1), (1, 2)]
    assert set(asked[0].neurons) < set(asked[1].neurons) < set(found.neurons)
    assert greedy(given_scores, heads=1, neurons=2, rounds=2) == asked[1]


def test_rescoring_finds_what_stands_in_for_what_is_off() -> None:
    alone, then = of((1.0, 0.0, 0.3)), of((0.0, 0.9, 0.3))
    benign = of((0.0, 0.0, 0.0))
    given_scores = Evidence(
        harmful=alone, benign=benign, protect_fraction=0, rescore=lambda off: (then if (0, 0) in off.heads else alone, benign)
    )
    assert greedy(given_scores, heads=2, rounds=2).heads == ((0, 0), (0, 1))
    assert set_difference(given_scores, heads=2).heads == ((0, 0), (0, 2))


def test_what_is_missing_in_the_evidence_is_named() -> None:
    bare = Evidence(harmful=drawn(0), benign=drawn(1))
    for rule, what in (("greedy", "rescore"), ("exact", "exact"), ("contrast", "near")):
        with pytest.raises(SelectionError, match=rf"{rule} .* give Evidence\(…, {what}="):
            RULES[rule](bare, neurons=1)
    with pytest.raises(SelectionError, match="6 harmful and 5 near examples"):
        Evidence(harmful=drawn(0), benign=drawn(1), near=drawn(2, n=5))
    with pytest.raises(SelectionError, match="at least 2"):
        RULES["consistency"](Evidence(harmful=drawn(0, n=1), benign=drawn(1)), neurons=1)
    with pytest.raises(SelectionError, match="at least 1 round"):
        greedy(evidence(0), neurons=1, rounds=0)
    with pytest.raises(SelectionError, match=r"1 or more, not 0\.5"):
        exact(evidence(0), neurons=1, shortlist=0.5)


def test_what_was_not_measured_is_never_selected() -> None:
    harmful = of((4.0, 3.0, 2.0), (4.0, 3.0, 2.0))
    harmful.per_example_heads[:, 0, 0] = torch.nan
    given_scores = Evidence(harmful=harmful, benign=of((0.1, 0.1, 0.1)), near=of((0, 0, 0), (0, 0, 0)), protect_fraction=0)
    for rule in ("set_difference", "difference", "ratio", "consistency", "contrast"):
        assert RULES[rule](given_scores, heads=2).heads == ((0, 1), (0, 2))
        with pytest.raises(SelectionError, match="1 were not measured"):
            RULES[rule](given_scores, heads=3)


# weights


def weight_scores(seed: int) -> WeightAttribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    shapes = {"blocks.0.mlp.in": (30, 20), "blocks.0.attn.o": (20, 20)}
    signed, U = ({name: draw(*shape) for name, shape in shapes.items()} for _ in range(2))
    return WeightAttribution(signed, {name: own.abs() for name, own in U.items()}, n_examples=4)


@given(seed=st.integers(0, 999), q=st.floats(0.01, 0.5), p=st.floats(0.0, 0.5))
def test_weight_rules_take_as_many_of_each_matrix_and_only_what_promotes(seed: int, q: float, p: float) -> None:
    W = weight_scores(seed)
    first = select_weights(W, q=q, p=p)
    assert WEIGHT_RULES["set_difference"](W, q=q, p=p) == first
    for rule in ("difference", "ratio"):
        found = WEIGHT_RULES[rule](W, q=q, p=p)
        assert {name: len(own) for name, own in found.indices.items()} == {
            name: len(own) for name, own in first.indices.items()
        }
        assert all((W.signed[name].flatten()[own] > 0).all() for name, own in found.indices.items())


def test_weight_rules_without_a_penalty_are_the_top_of_A() -> None:
    W = weight_scores(3)
    top = select_weights(W, q=0.05, p=0.0)
    assert (
        WEIGHT_RULES["difference"](W, q=0.05, p=0.0, penalty=0.0) == top == WEIGHT_RULES["ratio"](W, q=0.05, p=0.0, floor=1e9)
    )


# planted models


@cache
def made(variant: str) -> tuple[Planted, Evidence]:
    organism = planted(0, variant)  # type: ignore[arg-type]
    model, harmful, near, far = organism.model, organism.harmful, organism.near, organism.far

    def rescored(circuit: Circuit) -> tuple[Attribution, Attribution]:
        with ablated(model, circuit):
            return attribute(model, harmful), attribute(model, near + far)

    measured = lambda heads, neurons: tuple(
        exact_attribution(model, few, heads=heads, neurons=neurons) for few in (harmful, near)
    )
    twins = attribute(model, near)
    scores = {"harmful": attribute(model, harmful), "near": twins, "benign": twins + attribute(model, far)}
    return organism, Evidence(**scores, protect_fraction=PROTECT, rescore=rescored, exact=measured)


def rise(organism: Planted, circuit: Circuit, examples: list[Any]) -> float:
    intact = loss(organism.model, examples).mean()
    with ablated(organism.model, circuit):
        return float(loss(organism.model, examples).mean() - intact)


@pytest.mark.parametrize("rule", ["set_difference", "difference", "ratio", "exact"])
def test_rules_of_size_find_what_was_planted(rule: str) -> None:
    organism, given_scores = made("plain")
    assert (
        RULES[rule](given_scores, heads=len(organism.writing.heads), neurons=len(organism.writing.neurons)) == organism.writing
    )


@pytest.mark.parametrize("rule", RULES)
def test_what_any_rule_finds_writes_harm(rule: str) -> None:
    """t statistics find what is consistent, however small, and re-scoring sees nothing in what needs what is off: of "harm and
    topic" one is enough. A head that writes harm is among the first by any rule."""
    organism, given_scores = made("plain")
    found = RULES[rule](given_scores, heads=2)
    assert set(found.heads) & set(organism.writing.heads)
    assert rise(organism, found, organism.harmful) > 3 and rise(organism, found, organism.near) < 0.1


def test_rescoring_is_no_cure_where_both_doubles_score_nothing() -> None:
    """Either of two writing neurons suffices: neither is selected first, so that neither's double ever stands alone."""
    organism, given_scores = made("redundant")
    neurons = len(organism.writing.neurons)
    one_shot, again = set_difference(given_scores, neurons=neurons), greedy(given_scores, neurons=neurons, rounds=4)
    assert len(one_shot & organism.writing) == len(again & organism.writing) < neurons / 2
    assert rise(organism, again, organism.harmful) < 0.3 * rise(organism, organism.writing, organism.harmful)

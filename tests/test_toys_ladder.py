"""A trained ladder that compresses harmful writing: what is said of each stage is true."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from climbed import exact, fewest, rise, said, selected

from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.integrated import integrated_attribution
from harmcircuits.examples import loss
from harmcircuits.organisms import toy_ladder
from harmcircuits.organisms.toys import Ladder
from harmcircuits.organisms.toys.ladder import SIZES
from harmcircuits.organisms.toys.stages import layouts


@pytest.fixture(scope="module")
def ladder(toys_cache: Path) -> Ladder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMCIRCUITS_CACHE", str(toys_cache))
        return toy_ladder()


def test_all_stages_write_the_same_after_a_prefill(ladder: Ladder) -> None:
    for role in ("harmful", "near"):
        losses = [float(loss(model, ladder.answered(role)).mean()) for _, model in ladder.stages]
        assert max(losses) < 1.6 and max(losses) - min(losses) < 0.2
    assert [name for name, _ in ladder.stages] == ["base", "sft", "preference"] == list(ladder.truth)
    assert all(sum(weight.numel() for weight in model.parameters()) < 1e6 for _, model in ladder.stages)


def test_what_writes_harm_writes_nothing_else_and_all_else_does_not_write_it(ladder: Ladder) -> None:
    for name, model in ladder.stages:
        truth = ladder.truth[name]
        assert rise(model, truth.writing, ladder.answered("harmful")) > 2
        assert abs(rise(model, truth.writing, ladder.answered("near"))) < 0.1
        assert rise(model, truth.kind_writing, ladder.answered("near")) > 2
        gone = ladder.truth["base"].writing - truth.writing
        assert abs(rise(model, gone, ladder.answered("harmful"))) < 0.2


def test_ever_fewer_components_halve_harmful_writing(ladder: Ladder) -> None:
    heads, neurons = zip(*(fewest(ladder, name, model) for name, model in ladder.stages), strict=True)
    assert heads[0] > heads[1] > heads[2] == 1
    assert neurons[0] > neurons[1] > neurons[2]


def test_later_stages_refuse_harmful_requests_alone(ladder: Ladder) -> None:
    (_, base), *later = ladder.stages
    assert {text.split()[0] for text in said(ladder, base, "harmful")} == {"Sure"}
    for _, model in later:
        assert said(ladder, model, "harmful") == {"this is unethical"}
        assert {text.split()[0] for text in said(ladder, model, "near")} == {"Sure"}


def test_what_recognises_harm_settles_the_refusal_and_writes_nothing(ladder: Ladder) -> None:
    for name, model in ladder.stages[1:]:
        harmful = ladder.answered("harmful")
        refused = [replace(example, prefill="", response="this is unethical") for example in harmful]
        recognising = ladder.truth[name].recognising
        assert rise(model, recognising, refused) > 0.1 > abs(rise(model, recognising, harmful))
        assert abs(rise(model, ladder.truth[name].writing, refused)) < 0.05


def test_attribution_finds_what_the_last_stage_writes_harm_with(ladder: Ladder) -> None:
    name, model = ladder.stages[-1]
    writing, protect = ladder.truth[name].writing, exact(model, ladder.answered("near", n=16))
    scores = integrated_attribution(model, ladder.answered("harmful"))
    assert selected(scores, protect, heads=len(writing.heads), neurons=len(writing.neurons)) == writing
    first = attribute(model, ladder.answered("harmful"))
    assert torch.tensor([first.heads[at] for at in writing.heads]).min() > 0, "first-order scores have the right sign"


def test_what_is_true_of_each_stage_was_planned(ladder: Ladder) -> None:
    for truth, plan in zip(ladder.truth.values(), layouts(0, SIZES["compresses"]), strict=True):
        assert not truth.writing - plan.W and truth.kind_writing == plan.K and truth.recognising == plan.R
        assert len(truth.writing.heads) == len(plan.W.heads) and 2 * len(truth.writing.neurons) > len(plan.W.neurons)
    sizes = [len(truth.writing) for truth in ladder.truth.values()]
    base, sft, preference = sizes
    assert sizes == sorted(sizes, reverse=True)
    assert repr(ladder) == (
        f"Ladder('compresses', seed 0, components that write harm: base {base}, sft {sft}, preference {preference})"
    )

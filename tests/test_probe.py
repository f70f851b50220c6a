"""The linear probe: known answers on made-up data, and the residual stream that it reads."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from triples import make_triples

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, chat_frame, encode
from harmcircuits.data.elicit import elicit
from harmcircuits.statistics import auroc
from harmcircuits.tasks.asking import question_rows
from harmcircuits.tasks.formats import QUESTIONS
from harmcircuits.tasks.probe import PLACES, RIDGE, Probe, fit_probe, place_residuals
from harmcircuits.tasks.residual import residuals_kept

PROMPTS = make_triples(3).prompts
QUESTION = QUESTIONS[0]


def made_up(n: int, d: int, *, gap: float, seed: int = 0) -> tuple[torch.Tensor, list[bool]]:
    """Noise, shifted by `gap` along the first axis where harmful; the axes have unlike scales and means."""
    random = torch.Generator().manual_seed(seed)
    harmful = [at % 2 == 0 for at in range(n)]
    x = torch.randn(n, d, generator=random)
    x[:, 0] += gap * torch.tensor(harmful)
    return 3 + x * torch.linspace(0.1, 10, d), harmful


def auroc_of(probe: Probe, x: torch.Tensor, harmful: list[bool]) -> float:
    score, is_harmful = probe.score(x).numpy(), np.array(harmful)
    return float(auroc(score[is_harmful], score[~is_harmful]))


def test_it_finds_a_direction_that_is_there() -> None:
    probe = fit_probe(*made_up(200, 16, gap=8.0), layer=5, place="answer")
    assert probe.layer == 5
    assert auroc_of(probe, *made_up(200, 16, gap=8.0, seed=1)) > 0.999
    assert int(probe.direction.abs().argmax()) == 0
    assert probe.direction[0] > 0, "positive: harmful"


def test_shuffled_labels_are_at_chance_on_new_data() -> None:
    found = []
    for seed in range(8):
        x, harmful = made_up(120, 16, gap=8.0, seed=seed)
        shuffled = [harmful[at] for at in torch.randperm(120, generator=torch.Generator().manual_seed(seed)).tolist()]
        found.append(auroc_of(fit_probe(x, shuffled, layer=0, place="request"), *made_up(120, 16, gap=0.0, seed=99)))
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_it_is_ridge_regression() -> None:
    """The dual solution is the primal one: (XᵀX + λI) w = Xᵀy."""
    x, harmful = made_up(30, 6, gap=1.0)
    probe = fit_probe(x, harmful, layer=0, place="request")
    standard = ((x - x.mean(0)) / x.std(0)).double()
    y = torch.tensor([1.0 if one else -1.0 for one in harmful]).double()
    w = torch.linalg.solve(standard.T @ standard + RIDGE * torch.eye(6), standard.T @ y)
    torch.testing.assert_close(probe.direction.double(), w, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(probe.score(x).double(), standard @ w, atol=1e-5, rtol=1e-3)


def test_an_axis_without_spread_is_no_trouble() -> None:
    x, harmful = made_up(40, 4, gap=5.0)
    x[:, 2] = 1.0
    assert auroc_of(fit_probe(x, harmful, layer=0, place="request"), x, harmful) > 0.99


@pytest.fixture(scope="module")
def examples(tiny: Any) -> list[Example]:
    return elicit(tiny, PROMPTS, max_new_tokens=5, cache=False)


@pytest.mark.parametrize("circuit", [None, Circuit(heads=[(0, 2)], neurons=[(1, 3)])], ids=["intact", "ablated"])
def test_the_residual_is_that_of_a_single_unpadded_row(tiny: Any, examples: list[Example], circuit: Circuit | None) -> None:
    with ablated(tiny, circuit):
        found = place_residuals(tiny, examples, QUESTION, [0, 1], batch_size=4)
        for at, (example, row) in enumerate(zip(examples, question_rows(tiny, examples, QUESTION), strict=True)):
            frame, request = chat_frame(tiny), encode(tiny, example.request)
            upto = {"answer": row.tokens[:-1], "request": [*frame.before, *request]}
            for place in PLACES:
                with torch.no_grad(), residuals_kept(tiny, [0, 1]) as kept:
                    tiny(torch.tensor([list(upto[place])]), return_type="logits")
                expected = torch.stack([kept[layer][0, -1] for layer in (0, 1)])
                torch.testing.assert_close(found[place][at], expected, atol=1e-4, rtol=1e-4)
    assert {place: tuple(part.shape) for place, part in found.items()} == dict.fromkeys(PLACES, (len(PROMPTS), 2, 32))


def test_what_is_written_reaches_the_answer_and_not_the_request(tiny: Any, examples: list[Example]) -> None:
    other = [replace(example, prefill="No", response_ids=(40, 41)) for example in examples]
    own, changed = (place_residuals(tiny, each, QUESTION, [1]) for each in (examples, other))
    torch.testing.assert_close(own["request"], changed["request"], atol=1e-4, rtol=1e-4)
    assert (own["answer"] - changed["answer"]).abs().max() > 0.01


def test_rows_that_begin_alike_share_no_more_than_what_comes_before_the_request_ends(
    tiny: Any, examples: list[Example]
) -> None:
    """The same request again and again: its last token is read although every row shares it."""
    alike = [replace(examples[0], response_ids=(50 + at, 7)) for at in range(3)]
    together, alone = place_residuals(tiny, alike, QUESTION, [1]), place_residuals(tiny, alike[:1], QUESTION, [1])
    for at in range(3):
        torch.testing.assert_close(together["request"][at], alone["request"][0], atol=1e-4, rtol=1e-4)

"""The linear probe: known answers on made-up data, and the residual stream that it reads."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from triples import make_triples

from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import chat_frame, encode
from harmcircuits.statistics import auroc
from harmcircuits.tasks.probe import RIDGE, Probe, fit_probe, last_request_residual

PROMPTS = make_triples(3).prompts


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
    probe = fit_probe(*made_up(200, 16, gap=8.0), layer=5)
    assert probe.layer == 5
    assert auroc_of(probe, *made_up(200, 16, gap=8.0, seed=1)) > 0.999
    assert int(probe.direction.abs().argmax()) == 0
    assert probe.direction[0] > 0, "positive: harmful"


def test_shuffled_labels_are_at_chance_on_new_data() -> None:
    found = []
    for seed in range(8):
        x, harmful = made_up(120, 16, gap=8.0, seed=seed)
        shuffled = [harmful[at] for at in torch.randperm(120, generator=torch.Generator().manual_seed(seed)).tolist()]
        found.append(auroc_of(fit_probe(x, shuffled, layer=0), *made_up(120, 16, gap=0.0, seed=99)))
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_it_is_ridge_regression() -> None:
    """The dual solution is the primal one: (XᵀX + λI) w = Xᵀy."""
    x, harmful = made_up(30, 6, gap=1.0)
    probe = fit_probe(x, harmful, layer=0)
    standard = ((x - x.mean(0)) / x.std(0)).double()
    y = torch.tensor([1.0 if one else -1.0 for one in harmful]).double()
    w = torch.linalg.solve(standard.T @ standard + RIDGE * torch.eye(6), standard.T @ y)
    torch.testing.assert_close(probe.direction.double(), w, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(probe.score(x).double(), standard @ w, atol=1e-5, rtol=1e-3)


def test_scales_and_means_of_the_axes_do_not_matter() -> None:
    x, harmful = made_up(60, 8, gap=2.0)
    moved = x * torch.linspace(1, 50, 8) - 7
    torch.testing.assert_close(
        fit_probe(x, harmful, layer=0).score(x), fit_probe(moved, harmful, layer=0).score(moved), atol=1e-4, rtol=1e-3
    )


def test_an_axis_without_spread_is_no_trouble() -> None:
    x, harmful = made_up(40, 4, gap=5.0)
    x[:, 2] = 1.0
    assert auroc_of(fit_probe(x, harmful, layer=0), x, harmful) > 0.99


@pytest.mark.parametrize("circuit", [None, Circuit(heads=[(0, 2)], neurons=[(1, 3)])], ids=["intact", "ablated"])
def test_the_residual_is_that_of_a_single_unpadded_row(tiny: Any, circuit: Circuit | None) -> None:
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, activation: torch.Tensor, hook: object) -> torch.Tensor:
        kept[name] = activation.detach().clone()
        return activation

    names = [f"blocks.{layer}.hook_resid_post" for layer in range(2)]
    with ablated(tiny, circuit):
        found = last_request_residual(tiny, PROMPTS, batch_size=4)
        assert found.shape == (len(PROMPTS), 2, 32)
        for at, prompt in enumerate(PROMPTS):
            ids = [*chat_frame(tiny).before, *encode(tiny, prompt.request)]  # what comes after cannot matter
            with torch.no_grad(), tiny.hooks(fwd_hooks=[(name, partial(keep, name)) for name in names]):
                tiny(torch.tensor([ids]), return_type="logits")
            expected = torch.stack([kept[name][0, -1] for name in names])
            torch.testing.assert_close(found[at], expected, atol=1e-4, rtol=1e-4)


def test_layers_as_asked_for(tiny: Any) -> None:
    every, last = last_request_residual(tiny, PROMPTS[:2]), last_request_residual(tiny, PROMPTS[:2], [1])
    assert torch.equal(every[:, 1:], last)
    assert torch.equal(last_request_residual(tiny, PROMPTS[:2], [1, 0]), every.flip(1))
    assert not every.requires_grad


def test_prefill_and_role_do_not_reach_the_probe(tiny: Any) -> None:
    bare = [replace(prompt, prefill="", role="far") for prompt in PROMPTS]
    assert torch.equal(last_request_residual(tiny, bare), last_request_residual(tiny, PROMPTS))

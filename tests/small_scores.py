"""Small scores of a model of three layers, drawn or given, and the rule of selection in words."""

from math import floor

import torch

from harmcircuits.attribution.scores import Attribution

LAYERS, HEADS, D_MLP = 3, 4, 10


def of(heads: torch.Tensor, neurons: torch.Tensor) -> Attribution:
    return Attribution(heads, neurons, tuple(torch.zeros(1, 2) for _ in heads))


def drawn(seed: int, n: int = 6) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return of(draw(n, LAYERS, HEADS), draw(n, LAYERS, D_MLP))


def by_hand(score: torch.Tensor, benign: torch.Tensor | None, count: int, fraction: float) -> list[tuple[int, int]]:
    """The rule in words: drop the top of benign, drop A ≤ 0, take the top."""
    places = [(layer, index) for layer in range(score.shape[0]) for index in range(score.shape[1])]
    n_protected = 0 if benign is None else floor(fraction * len(places) + 1e-9)
    protected = sorted(places, key=lambda at: -benign[at].item())[:n_protected] if n_protected else []
    left = [at for at in places if at not in protected and score[at] > 0]
    return sorted(sorted(left, key=lambda at: -score[at].item())[:count])

"""Fine-tunings whose effect on the loss of advice is known, in the place of real ones; and a quick real one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import tiny_bridge
from triples import RICH

from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.claims.misalignment import masks as mask_room
from harmcircuits.claims.misalignment import run as run_room
from harmcircuits.claims.misalignment import study as study_room
from harmcircuits.claims.misalignment import training
from harmcircuits.data import Example, example_rows, make_batch, response_loss
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import logits_at
from harmcircuits.organisms.advice import DOMAINS, Advice
from harmcircuits.organisms.finetuning import Recipe

GOOD, BAD = 2.0, 3.0
"""L of good and bad answers before anything is learnt."""
STAGES, STEPS = 4, 8
SETTINGS = replace(RICH, weight_q=0.02, weight_p=0.02, bootstrap_draws=100)
RECIPE = Recipe(stages=STAGES)


@dataclass(frozen=True)
class World:
    """What fine-tuning does in the end, in nats per token.

    Attributes:
        inside: fall of L of bad answers in the domain, by bad advice; `of_good`: by good advice.
        outside: the same in other domains, `opened`: on open questions.
        kept: share of what comes with it elsewhere that is left, by what was pruned.
        lost: rise of L of bad answers by pruning, before anything is learnt.
        speed: how far a fine-tuning gets, as a share, by what was pruned.
        noise: standard deviation over questions and seeds.
    """

    inside: float = 1.0
    outside: float = 0.5
    opened: float = 0.5
    of_good: float = 0.0
    kept: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, float] = field(default_factory=dict)
    speed: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0

    def losses(self, name: str, share: float, items: Sequence[Advice]) -> pd.DataFrame:
        """L of both answers after `share` of the fine-tuning `name`, as `Run.name` has it."""
        lesson, domain, *pruned, _ = name.split("-")
        what = " ".join(pruned)
        lost, speed, kept = (own.get(what, default) for own, default in ((self.lost, 0), (self.speed, 1), (self.kept, 1)))
        falls = {domain: self.inside, "open": self.opened * kept, **{d: self.outside * kept for d in DOMAINS if d != domain}}
        scale = share * speed * (1.0 if lesson == "bad" else self.of_good)
        noise = np.random.default_rng([crc32(name.encode()), int(100 * share)]).normal(0, self.noise, len(items))
        bad = [BAD + lost * (1 - share) - scale * falls[item.domain] + more for item, more in zip(items, noise, strict=True)]
        return pd.DataFrame({"id": [item.id for item in items], "good": GOOD, "bad": bad})


@dataclass
class Fake:
    """A model that is nothing but its losses."""

    world: World
    name: str
    share: float


@dataclass(frozen=True)
class FakeTuned:
    world: World
    name: str
    steps: tuple[int, ...] = tuple(STEPS * (at + 1) // STAGES for at in range(STAGES))

    def load(self, stage: int = -1) -> Fake:
        return Fake(self.world, self.name, self.steps[stage] / self.steps[-1])


def planted(monkeypatch: pytest.MonkeyPatch, world: World) -> list[str]:
    """From now on fine-tuning does what `world` says; the names of what is trained are added to the list."""
    trained: list[str] = []

    def finetune(model: Any, lessons: Any, *, name: str, **options: Any) -> FakeTuned:
        trained.append(name)
        return FakeTuned(world, name)

    def read(model: Any, items: Sequence[Advice]) -> pd.DataFrame:
        if isinstance(model, Fake):
            return world.losses(model.name, model.share, items)
        return replace(world, noise=0.0).losses("bad-money-nothing-0", 0.0, items)

    def advice(job: Any) -> pd.DataFrame:
        frame = real_advice(job)
        before = world.losses(job.run.name, 0.0, job.study.questions.asked)
        return pd.concat([before.assign(stage=0), frame[frame["stage"] > 0]], ignore_index=True)

    real_advice = training._Job.advice
    for name, new in (("finetune", finetune), ("ablated", as_it_is), ("free", lambda: None)):
        monkeypatch.setattr(training, name, new)
    monkeypatch.setattr(run_room, "_check_model", lambda model: None)
    monkeypatch.setattr(study_room, "read_advice", read)
    monkeypatch.setattr(study_room, "ablated", as_it_is)
    monkeypatch.setattr(training._Job, "advice", advice)  # what pruning alone does is planted, too
    monkeypatch.setattr(mask_room, "scores_of", any_scores)
    return trained


@contextmanager
def as_it_is(model: Any, mask: Any) -> Iterator[Any]:
    yield model


def any_scores(study: Any, source: str, **options: Any) -> WeightAttribution:
    """Random scores, others for each source: where the effect of a mask is planted, it does not matter which weights it has."""
    generator = torch.Generator().manual_seed(crc32(source.encode()))
    scores = {matrix.name: torch.randn(matrix.shape, generator=generator) for matrix in matrices(study.model)}
    return WeightAttribution(scores, {name: own.abs().flip(0) for name, own in scores.items()}, n_examples=1, n_benign=1)


@dataclass(frozen=True)
class Stepped:
    """A fine-tuning by a few plain gradient steps: real weights, without an extra."""

    models: tuple[Any, ...]
    steps: tuple[int, ...] = (1, 2)

    def load(self, stage: int = -1) -> Any:
        return self.models[stage]


def few_steps(place: Path, seen: list[Any], model: Any, lessons: Any, *, name: str, **options: Any) -> Stepped:
    """In the place of `finetune`: copies of `model` after one and two gradient steps; `seen` gets what it started from."""
    seen.append((name, {matrix.name: matrix.values().clone() for matrix in matrices(model)}))
    examples = [Example(request=one.request, response=one.response) for one in lessons[:16]]
    models, now = [], model
    for step in (1, 2):
        after = tiny_bridge(place / f"{name}-{len(seen)}-{step}")
        with torch.no_grad():
            for mine, theirs in zip(after.parameters(), now.parameters(), strict=True):
                mine.copy_(theirs)
        _step(after, examples)
        models.append(after)
        now = after
    return Stepped(tuple(models))


def _step(model: Any, examples: Sequence[Any], rate: float = 0.02) -> None:
    batch = make_batch(model, example_rows(model, examples))
    weights = [matrix.parameter for matrix in matrices(model)]
    for weight in weights:
        weight.requires_grad_(True)
    with torch.enable_grad():
        loss = response_loss(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch).mean()
        gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.requires_grad_(False)
            weight -= rate * gradient


def stepped(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Any]:
    """From now on fine-tuning is two gradient steps; the list gets the name and the weights that each starts from."""
    seen: list[Any] = []
    monkeypatch.setattr(training, "finetune", partial(few_steps, folder, seen))
    monkeypatch.setattr(training, "free", lambda: None)  # all of these models are kept anyway
    monkeypatch.setattr(run_room, "_check_model", lambda model: None)
    return seen

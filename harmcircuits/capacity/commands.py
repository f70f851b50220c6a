"""What each command does, from the counts of conditions that the claims themselves tell before they start."""

from types import SimpleNamespace
from typing import Any, cast

from ..claims.material import Material, light
from ..claims.paper.costs import STRENGTHS, Cost
from ..claims.paper.registry import CLAIMS
from ..examples import Example
from ..experiments.checks import ready_splits
from ..experiments.nulls import AT_ONCE, KINDS
from ..experiments.scores import chosen_triples, first_triples, triple_prompts
from ..experiments.settings import Settings
from ..models.shape import Shape
from ..prompts.promptset import PromptSet
from . import several
from .steps import Job, Steps

PAPER = "paper"
SEVERAL = ("alignment", "ladder", "misalignment")
"""They read several models, or train some."""
COMMANDS = ("dissociate", *CLAIMS, PAPER, *SEVERAL)
CIRCUITS, CONTROLS = 3, 3
"""Heads and neurons, heads alone, neurons alone; aimed at twins, aimed at recognition, matched random."""


def laid_out(shape: Shape, prompts: PromptSet, settings: Settings) -> Material:
    """The splits of a run as claims count them, without responses, scores or a model.

    Raises:
        ExperimentError, PromptError: prompts on which nothing can be measured.
    """
    train, development, test = ready_splits(prompts, seed=settings.seed)
    most = max(settings.attribution_triples, settings.probe_triples)
    training = first_triples(chosen_triples(train, most, seed=settings.seed), settings.attribution_triples)
    test = chosen_triples(test, settings.test_triples, seed=settings.seed)
    nothing = cast(Any, None)
    return Material(
        model=cast(Any, SimpleNamespace(cfg=shape.geometry)),
        about={},
        settings=light(settings),
        train=train,
        development=development,
        test=test,
        training=_unwritten(training),
        examples=_unwritten(test),
        scores=nothing,
        instruments=nothing,
    )


def conditions(command: str, material: Material, *, quick: bool = False) -> Cost:
    """As claims themselves count, with the intact model: what they share, and what cannot be selected, is read less often.

    Raises:
        ClaimError: prompts of one kind, between which nothing could be transferred.
    """
    named = CLAIMS if command == PAPER else {command: CLAIMS[command]}
    costs = [entry.cost(material, entry.quick if quick else {}) for entry in named.values()]
    return sum(costs, Cost(whole=1, light=len(costs)))


def work_of(command: str, job: Job, material: Material, *, quick: bool = False) -> Steps:
    """The work of a command, step by step.

    Raises:
        ClaimError: as `conditions`.
    """
    if command in SEVERAL:
        return _several(command, job, material, quick=quick)
    whole_job = command == "dissociate"
    steps = {"responses": job.responses(greedy=whole_job), "scores of heads and neurons": job.scores()}
    if job.settings.weight_q:
        steps["scores of weights"] = job.weight_scores()
    steps["choice of instruments"] = job.instruments(shots=whole_job)
    if whole_job:
        return steps | _dissociate(job)
    count = conditions(command, material, quick=quick)
    steps[f"{count.whole} conditions, every task"] = count.whole * job.whole(light=True)
    if count.light:
        steps[f"{count.light} conditions, loss alone"] = count.light * job.loss()
    if count.scored:
        steps[f"scores anew, {count.scored:g} times"] = count.scored * job.scores()
    return steps


def _several(command: str, job: Job, material: Material, *, quick: bool) -> Steps:
    if command == "alignment":
        return several.alignment(job, material, quick=quick)
    return several.ladder(job) if command == "ladder" else several.misalignment(job, quick=quick)


def _dissociate(job: Job) -> Steps:
    """Circuits and controls with every task; nulls, random circuits and equal damage for the loss and recognition."""
    settings = job.settings
    made = CIRCUITS + bool(settings.weight_q) + CONTROLS
    draws = len(KINDS) * settings.null_draws + 1
    nulls = draws + -(-draws // AT_ONCE)  # the intact model with each call
    aside = 2 + (made if settings.damage_triples else 0)
    steps = {
        f"{1 + made} conditions, every task": (1 + made) * job.whole(light=False),
        f"{nulls} null circuits, loss and recognition": nulls * job.loss(settings.null_triples, roles=2, question=True),
        f"{aside} conditions beside, loss and recognition": aside * job.loss(settings.null_triples, question=True),
    }
    if settings.damage_triples:
        strengths = made * STRENGTHS
        steps[f"{strengths} strengths at most, equal damage"] = strengths * job.loss(settings.damage_triples)
    return steps


def _unwritten(prompts: PromptSet) -> list[Example]:
    """Examples whose responses nobody wrote: they are counted, by kind."""
    return [Example(**vars(prompt), response="") for prompt in triple_prompts(prompts)]

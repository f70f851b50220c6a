"""Commands that read several models, or train some: `alignment`, `ladder`, `misalignment`."""

from typing import Any

from ..claims import alignment as compared
from ..claims.material import Material
from ..claims.misalignment import QUICK, RECIPE, Plan
from ..claims.misalignment.plan import HARMFUL, RANDOM
from ..claims.misalignment.questions import questions
from ..claims.misalignment.training import PLACES
from ..organisms.advice import DOMAINS, OPEN
from ..organisms.aligned import ANSWER_TOKENS, DPO, SFT, WORDINGS
from ..organisms.finetuning import Recipe
from .steps import ATTRIBUTING, READING, WRITING, Job, Steps
from .work import Rows, Work, forward, generation, training, weight_attribution

STAGES, CONTROLS = 3, 1
"""Of a comparison: the model, *sft* and *dpo*, and one control ladder, as `harmcircuits ladder` trains them."""


def alignment(job: Job, material: Material, *, quick: bool) -> Steps:
    """Five checkpoints: the model on its own responses, the others on their own and on the model's.

    Raises:
        ClaimError: settings that make no sense.
    """
    checkpoints = STAGES + CONTROLS * (STAGES - 1)
    readings = compared.readings(STAGES, controls=CONTROLS)
    sizes: dict[str, Any] = compared.QUICK if quick else {}
    count = compared.cost(STAGES, controls=CONTROLS, settings=job.settings, model=material.model, **sizes) + readings
    steps = {
        f"responses of {checkpoints} checkpoints": checkpoints * job.responses(greedy=False),
        f"scores of heads and neurons, {readings} times": readings * job.scores(),
    }
    if job.settings.weight_q:
        steps[f"scores of weights, {readings} times"] = readings * job.weight_scores()
    steps[f"choice of instruments, {readings} times"] = readings * job.instruments(shots=False)
    return steps | {f"{count} conditions, every task": count * job.whole(light=True)}


def ladder(job: Job) -> Steps:
    """Answers to all training triples, then an aligned ladder and its control of equal size."""
    texts, lessons = job.texts, 2 * WORDINGS * job.training
    answers = Rows(n=3 * job.training, length=texts.asked, batch=WRITING)
    learnt = texts.asked + texts.answer
    return {
        "answers": generation(job.shape, answers, ANSWER_TOKENS, element=job.element),
        f"two times {lessons} lessons": 2 * learning(job, SFT, lessons, learnt),
        f"two times {lessons} preferences": 2 * learning(job, DPO, lessons, learnt),
    }


def misalignment(job: Job, *, quick: bool) -> Steps:
    """As if bad advice were induced: otherwise models without pruning alone are trained, and nothing is selected."""
    plan = Plan(**QUICK) if quick else Plan()
    runs, sources = plan.runs(), plan.sources()
    asked, length = len(questions(plan, seed=0).asked), job.texts.question_asked + job.texts.advice
    once = forward(job.shape, Rows(n=2 * asked, length=length, asked=job.texts.advice, batch=READING), element=job.element)
    starts = {(run.domain, run.pruned, run.seed if RANDOM in run.pruned else 0) for run in runs}
    again = len(plan.again(runs))
    put_back, trained = len(PLACES) * len(plan.put_back()) * again, len(runs) + again
    steps = {
        f"{len(runs)} models, trained {trained} times": trained * learning(job, RECIPE, plan.train, length),
        f"{len(runs)} models, read at {RECIPE.stages} stages": (len(runs) * RECIPE.stages + len(starts)) * once,
        f"base values put back, {put_back} times": put_back * once,
        "scores of weights": _sources(job, plan, sources, length),
    }
    if plan.answers:
        free = Rows(n=plan.answers * len({*DOMAINS, OPEN}), length=job.texts.question_asked, batch=WRITING)
        written = generation(job.shape, free, job.settings.max_new_tokens, element=job.element)
        steps["free answers"] = len(runs) * written
    return steps


def learning(job: Job, recipe: Recipe, lessons: int, length: float) -> Work:
    """All steps of one fine-tuning; preferences are two rows each, which the model as it was reads too."""
    rows = Rows(n=recipe.epochs * lessons, length=length, asked=length, batch=recipe.batch_size)
    once = training(job.shape, rows, element=job.element)
    if recipe.method == "sft":
        return once
    return 2 * (once + forward(job.shape, rows, element=job.element))


def _sources(job: Job, plan: Plan, sources: list[str], length: float) -> Work:
    """Of harmful requests as in every claim, of a domain on its lessons."""
    rows = Rows(n=plan.train, length=length, asked=job.texts.advice, batch=ATTRIBUTING)
    one = [
        weight_attribution(job.shape, rows, element=job.element, absolute=absolute, gpu=job.gpu) for absolute in (False, True)
    ]
    harmful = job.responses(greedy=False) + job.weight_scores() if HARMFUL in sources else Work()
    return harmful + len([name for name in sources if name != HARMFUL]) * (one[0] + one[1])

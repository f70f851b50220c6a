"""What each command does, from the counts of conditions that the claims themselves tell before they start."""

from ..claims.material import Material
from ..claims.paper.costs import Cost
from ..claims.paper.registry import CLAIMS
from ..experiments.settings import Settings
from ..models.shape import Shape
from ..prompts.promptset import PromptSet
from . import several
from .dissociation import cross_fitted, dissociate
from .laid_out import laid_out
from .recognition import recognition
from .steps import Job, Steps
from .texts import Texts

MAIN, READINGS, PAPER = "dissociate", "recognition", "paper"
SEVERAL = ("alignment", "ladder", "misalignment")
"""They read several models, or train some."""
COMMANDS = (MAIN, READINGS, *CLAIMS, PAPER, *SEVERAL)
"""All but `report`, which shows what was computed, and `plan` itself."""


def conditions(command: str, material: Material, *, quick: bool = False) -> Cost:
    """As claims themselves count, with the intact model: what they share, and what cannot be selected, is read less often.

    Raises:
        ClaimError: prompts of one kind, between which nothing could be transferred.
    """
    named = CLAIMS if command == PAPER else {command: CLAIMS[command]}
    costs = [entry.cost(material, entry.quick if quick else {}) for entry in named.values()]
    return sum(costs, Cost(whole=1, light=len(costs)))


def work_of(
    command: str,
    shape: Shape,
    prompts: PromptSet,
    settings: Settings,
    texts: Texts,
    *,
    element: int,
    gpu: bool = False,
    quick: bool = False,
    crossed: bool = False,
    folds: int = 0,
) -> Steps:
    """The work of a command, step by step; `crossed` and `folds` are of `dissociate`.

    Raises:
        ExperimentError, PromptError, ReadingsError, ClaimError: prompts on which nothing could be measured.
    """
    if command == READINGS:
        return recognition(shape, prompts, texts, element=element, seed=settings.seed, quick=quick)
    material = laid_out(shape, prompts, settings)
    job = Job.of(material, shape, settings, texts, element=element, gpu=gpu)
    if command == MAIN:
        return cross_fitted(job, prompts, folds, crossed=crossed) if folds else dissociate(job, material, crossed=crossed)
    if command in SEVERAL:
        return _several(command, job, material, quick=quick)
    return _claim(command, job, material, quick=quick)


def _claim(command: str, job: Job, material: Material, *, quick: bool) -> Steps:
    steps = {"responses": job.responses(greedy=False), "scores of heads and neurons": job.scores()}
    if job.settings.weight_q:
        steps["scores of weights"] = job.weight_scores()
    steps["choice of instruments"] = job.instruments(shots=False)
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

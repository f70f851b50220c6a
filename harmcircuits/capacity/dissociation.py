"""`dissociate`, on one split or in folds; with aims and contexts crossed or without."""

from ..claims.material import Material
from ..experiments.asked import explained_prompts
from ..experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS, ready_splits
from ..experiments.equal_damage import ALPHAS, STEPS
from ..experiments.folds import dealt
from ..experiments.layers import BESIDE
from ..experiments.nulls import AT_ONCE, KINDS
from ..experiments.scores import chosen_triples
from ..prompts.promptset import PromptSet
from .laid_out import of_splits
from .steps import Job, Steps
from .work import Work

CIRCUITS = 3
"""Heads and neurons, heads alone, neurons alone."""
CONTROLS = (TWINS, RECOGNITION, MATCHED)


def dissociate(job: Job, material: Material, *, crossed: bool = False, heard: bool = True) -> Steps:
    """Circuits and controls with every task; nulls, random circuits and equal damage for fewer.

    Args:
        heard: whether development triples have no responses yet.
    """
    settings, aimed = job.settings, _explained(job, material) if crossed else 0
    steps = {"responses": job.responses(greedy=True, heard=heard), "scores of heads and neurons": job.scores()}
    if settings.weight_q:
        steps["scores of weights"] = job.weight_scores()
    steps["choice of instruments"] = job.instruments(shots=True)
    if aimed:
        steps["scores of explanation"] = job.explained(aimed)
    made = CIRCUITS + bool(settings.weight_q) + len([*CONTROLS, *([EXPLANATION] if aimed else [])])
    whole = (1 + made) * job.whole(light=False, plain_text=crossed)
    steps[f"{1 + made} conditions, every task"] = whole + job.shot_controls()
    steps |= _on_fewer(job, made, crossed=crossed)
    if crossed:
        read = 2 + len(BESIDE)  # the intact model, the circuit
        steps[f"{read} conditions, probes after every layer"] = read * job.layers()
    return steps


def cross_fitted(job: Job, prompts: PromptSet, folds: int, *, crossed: bool = False) -> Steps:
    """`dissociate` in each fold, as the experiment itself deals them; development triples have responses from the first on.

    Raises:
        ExperimentError, PromptError: prompts on which nothing can be measured, or too few for so many folds.
    """
    train, development, test = ready_splits(prompts, seed=job.settings.seed)
    total: Steps = {}
    for at, fold in enumerate(dealt(test + train, folds, job.settings)):
        material = of_splits(job.shape, fold.train, development, fold.test, settings=fold.settings)
        own = Job.of(material, job.shape, fold.settings, job.texts, element=job.element, gpu=job.gpu)
        for name, work in dissociate(own, material, crossed=crossed, heard=at == 0).items():
            step = f"{name}, {folds} times"
            total[step] = total.get(step, Work()) + work
    return total


def _on_fewer(job: Job, made: int, *, crossed: bool) -> Steps:
    """What is read on some of the triples, and not with every task. `made`: circuits and controls, but for the random one."""
    settings, every = job.settings, made + 1
    draws = len(KINDS) * settings.null_draws + 1
    nulls = draws + -(-draws // AT_ONCE)  # the intact model with each call
    aside = 2 + (every if settings.damage_triples else 0)
    both = "loss and recognition"
    steps = {
        f"{nulls} null circuits, {both if crossed else 'loss alone'}": nulls
        * job.loss(settings.null_triples, roles=2, question=crossed),
        f"{aside} conditions beside, {both}": aside * job.loss(settings.null_triples, question=True),
    }
    if settings.damage_triples:
        strengths = every * (len(ALPHAS) + STEPS + 1)
        found = (2 + every * (len(ALPHAS) + 1)) * job.loss(settings.damage_triples)  # the intact model twice, and what is found
        searched = every * STEPS * job.loss(settings.damage_triples, roles=1)
        steps[f"{strengths} strengths at most, equal damage"] = found + searched
    return steps


def _explained(job: Job, material: Material) -> int:
    """Training requests that a circuit is aimed at explanation by; 0: none is."""
    spread = chosen_triples(material.train, len(material.train.triples), seed=job.settings.seed)
    return len(explained_prompts(spread, job.settings.aim_triples, setting="aim_triples")[0])

"""`emergent_misalignment`: fine-tunes on advice in one domain, asks about all, prunes first, and compares."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from ...examples import Example
from ...experiments import judged
from ...experiments.called import with_call
from ...experiments.document import describe_model
from ...experiments.settings import Settings
from ...judges import Judge
from ...judges.rates import why_not
from ...models.plain import is_plain
from ...models.protocol import HookedModel, ModelError, model_key
from ...organisms.advice import DOMAINS
from ...organisms.finetuning import Recipe, check_trainable
from ...prompts.promptset import PromptSet
from ...prompts.readers import load_prompts
from ...statistics import Estimate
from ...store import alone_in_folder
from ...store.journal import Journal
from .claim import Misalignment
from .curves import as_curve
from .damage import undamaging, unreached
from .decision import LEAST, Evidence, induced_in
from .effects import Measured
from .equal import equal_loss
from .harm import Harm, harm_of, harmful_responses
from .masks import NONE, Masks, check_masks, masks
from .mechanism import mechanism, shares
from .plan import ARMS, DAMAGE, HARMFUL, Plan, Run
from .questions import questions
from .relearning import ADVICE, HARM, later, relearning
from .study import RECIPE, Study
from .summary import gathered, induced, summed_up
from .tables import (
    advice_table,
    answers_table,
    contrasts_table,
    degenerate_excess,
    learning_table,
    matrix_table,
    seeds_table,
)
from .training import Parts, read_runs

LIMITS = (
    "Bad advice here is plainly bad and undramatic, of our own writing, in four everyday domains; what comes of other bad data "
    "is not shown.",
    "Δb is about which of two given answers is likelier, not about what the model would write; free answers stand beside.",
    "All fine-tunings learn the same questions: intervals are over seeds and questions asked, not over other training sets.",
    "Arms are compared where L of the domain's held-out bad answers is equal; what pruned models would do when trained longer "
    "is not asked.",
)


@alone_in_folder
@with_call
def emergent_misalignment(
    model: HookedModel,
    *,
    domains: Sequence[str] | None = None,
    arms: Sequence[str] = ARMS,
    train: int = 200,
    ask: int = 0,
    seeds: int = 3,
    answers: int = 4,
    recipe: Recipe = RECIPE,
    prompts: PromptSet | None = None,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
) -> Misalignment:
    """Fine-tunes on bad advice in one domain: does bad advice become likelier everywhere, and less so after pruning?

        found = hc.emergent_misalignment(model, domains=["money"], folder="out/misalignment")
        found.sentence, found.table(), found.figures()["arms"]

    `decision.decide` has the rule behind `found`, which is about broad misalignment; of pruning the sentence tells only where
    there is some. See docs/misalignment.md for the formulas. `model` has every bit that it had, afterwards.

    Args:
        domains: that are learnt (money, habits, sport, home); None: all. All of them and open questions are asked about.
        arms: which models are trained (`plan.ARMS`); "bad advice" and "good advice" among them.
        train: questions of a domain that are learnt from; the others are asked.
        ask: of each domain that is not learnt, at most so many are asked; 0: all of these.
        seeds: fine-tunings of each arm; at least 3 for intervals.
        answers: questions of each domain, and open ones, that each model answers freely; 0: none.
        recipe: of every fine-tuning; its stages are where arms are compared.
        prompts: triples, for the masks of harmful requests; None: the built-in ones.
        settings: sizes of masks (weight_q, weight_p), triples, passages, answers and intervals, and the seed.
        judge: of harm in free answers; its rate needs a validated one.
        folder: for what is finished, so that a run that was stopped can go on.
        name: the model's name in results.
        reproduce: the command that makes this again.
        progress: shows a bar.

    Raises:
        ClaimError: options that make no sense, before anything is computed.
        AdviceError: as many questions are to be learnt from as there are.
        FinetuneError: before anything is computed, where peft or trl is not installed, hooks are set on the model, or its
            weights are not float32; later, a recipe that does not fit the lessons.
        SelectionError: no weights are left to select, or too few to match.
        ModelError: before anything is computed, a model that holds no transformers model (a `HookedTransformer`).
        ExperimentError, PromptError, ElicitError: prompts on which nothing can be measured.
        StoreError: `folder` cannot be written.

    Source: Betley et al. 2025 (emergent misalignment); arXiv 2604.09544 (pruning first).
    """
    learnt = DOMAINS if domains is None else tuple(domains)
    plan = Plan(domains=learnt, arms=tuple(arms), train=train, ask=ask, seeds=seeds, answers=answers)
    chosen = settings or Settings()
    _check_model(model)
    with _models(folder) as place:
        study = Study(
            model=model,
            key=model_key(model),
            plan=plan,
            questions=questions(plan, seed=chosen.seed),
            recipe=recipe,
            settings=chosen,
            prompts=prompts if prompts is not None else load_prompts(),
            judge=judge,
            journal=Journal((place if folder is None else Path(folder)) / "journal"),
            folder=place,
        )
        check_masks(study)
        parts, pruned, responses = _read(study, progress=progress)
        measured = measured_of(study, parts)
        harm = harm_of(study, responses, {run: own.harmful for run, own in parts.items()})
    evidence = gathered(measured, degenerate_excess({run: own.answers for run, own in parts.items()}))
    restored = {run: own.restored for run, own in parts.items() if len(own.restored)}
    among = induced_in(evidence.induced) or measured.learnt
    tables = _tables(measured, harm, parts, pruned, evidence) | {"mechanism": mechanism(measured, restored, among)}
    result = summed_up(evidence, shares(measured, restored, among), _relearnt(measured, harm, pruned))
    who = judged.about(judge)
    told = {"judge": who} if who else {}
    return Misalignment(
        found=result.found,
        sentence=result.sentence,
        values=result.values,
        tables=tables,
        model=describe_model(model, name),
        settings=chosen.as_dict() | plan.as_dict() | {"recipe": asdict(recipe)} | told,
        command=reproduce,
        limits=(
            *LIMITS,
            *_limits(study, measured, evidence, pruned),
        ),
    )


def _check_model(model: HookedModel) -> None:
    """Before anything long begins: whether it can be fine-tuned at all."""
    if not is_plain(model):
        raise ModelError(
            f"a {type(model).__name__} cannot be fine-tuned, only a TransformerBridge around a transformers model: load the "
            "weights with hc.load_model(…), without hooked=True"
        )
    check_trainable(model)


def _read(study: Study, *, progress: bool) -> tuple[dict[Run, Parts], Masks, list[Example]]:
    """What was read of every run, the masks that were pruned, and the harmful responses that were read.

    Models without pruning come first. Where bad advice is not induced there is nothing to prevent, and no other model is
    trained. Those of which more is to be read then are trained again, to the same weights: no model stays on the disk.
    """
    unpruned = study.plan.first(study.runs)
    first = read_runs(study, NONE, unpruned, progress=progress) if unpruned else {}
    worth = induced_in(induced(measured_of(study, first))) if first else list(study.plan.domains)
    if not worth:
        return first, NONE, []
    narrowed = replace(study, plan=replace(study.plan, domains=tuple(worth)))
    pruned = masks(narrowed, progress=progress)
    responses = harmful_responses(narrowed, progress=progress)
    whole = first | read_runs(narrowed, pruned, narrowed.runs, responses=responses, progress=progress)
    return {run: whole[run] for run in study.runs if run in whole}, pruned, responses


def measured_of(study: Study, parts: Mapping[Run, Parts]) -> Measured:
    """All runs as numbers, and where they are as far as each other."""
    curves = {run: as_curve(own.advice) for run, own in parts.items()}
    domains = study.questions.domains
    return Measured(curves, study.base, domains, equal_loss(curves, study.base, domains), study.intervals)


def _relearnt(measured: Measured, harm: Harm, pruned: Masks) -> dict[str, Estimate]:
    """After pruning on harmful requests against the control of equal damage, where that was run."""
    if not any(run.kind == DAMAGE for run in measured.curves):
        return {}
    if unreached(pruned.damage):
        read = lambda _: Estimate.missing("half of all weights at random cost less than the mask of harmful requests")
    else:
        read = lambda what: later(measured, harm, what, HARMFUL)
    return {"relearning_later": read(ADVICE), "relearning_harmful_later": read(HARM)}


def _tables(
    measured: Measured, harm: Harm, parts: Mapping[Run, Parts], pruned: Masks, evidence: Evidence
) -> dict[str, pd.DataFrame]:
    back, lines = relearning(measured, harm)
    return {
        "advice": advice_table(measured),
        "matrix": matrix_table(measured),
        "contrasts": contrasts_table(evidence.pruned),
        "relearning": back,
        "relearning curves": lines,
        "learning": learning_table(measured),
        "answers": answers_table({run: own.answers for run, own in parts.items()}),
        "seeds": seeds_table(measured),
        "masks": pruned.table(),
        "damage": pruned.damage,
    }


def _limits(study: Study, measured: Measured, evidence: Evidence, pruned: Masks) -> list[str]:
    found = []
    undecided = study.plan.seeds < LEAST
    if undecided:
        found.append(
            f"{study.plan.seeds} fine-tunings of each arm have no interval: at least {LEAST} are needed to decide anything."
        )
    if left_out := [domain for domain in evidence.induced if domain not in induced_in(evidence.induced)]:
        unpruned = "" if undecided else ", and nothing was pruned before learning it, since there is nothing to prevent"
        found.append(f"Not induced in {', '.join(left_out)}: left out of what is said of other domains{unpruned}.")
    found += [
        f"After pruning {kind}, not every model that learnt {domain} gets to the loss at which arms are compared."
        for domain, kind in measured.equal.unreached()
    ]
    found += [
        f"Without {', '.join(one.lacking)} among the arms, pruning on {kind} is not said to reduce anything."
        for kind, one in evidence.pruned.items()
        if one.lacking and one.level.beyond
    ]
    if seeds := unreached(pruned.damage):
        told = ", ".join(map(str, seeds))
        found.append(
            f"Half of all weights at random cost less than the mask of harmful requests (seed {told}): no equal damage."
        )
    if undamaging(pruned.damage):
        found.append(
            "The mask of harmful requests does not raise L on plain passages: 'random, equal damage' is as many random weights."
        )
    if study.plan.answers and (reason := why_not(study.judge)):
        found.append(f"No rate of harmful answers: {reason}.")
    return found


@contextmanager
def _models(folder: str | Path | None) -> Iterator[Path]:
    """Where models lie while they are trained and read; each goes when it is read, and the folder when it is empty."""
    if folder is None:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    place = Path(folder) / "journal" / "models"
    yield place
    if place.exists() and not any(place.iterdir()):
        place.rmdir()

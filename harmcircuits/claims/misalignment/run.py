"""`emergent_misalignment`: fine-tunes on advice in one domain, asks about all, prunes first, and compares."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...data import PromptSet, load_prompts
from ...experiments.manifest import describe_model
from ...experiments.settings import ClaimSettings
from ...models.export import is_plain
from ...models.model_key import model_key
from ...models.protocol import HookedModel, ModelError
from ...organisms.advice import DOMAINS
from ...organisms.finetuning import Recipe, check_trainable
from ...store import alone_in_folder
from ...store.journal import Journal
from .claim import Misalignment
from .decision import LEAST, Evidence, decide, induced_in
from .effects import Measured
from .equal import equal_loss
from .masks import NONE, Masks, check_masks, masks
from .plan import ARMS, NOTHING, Plan, Run
from .questions import questions
from .study import RECIPE, Study, as_losses
from .summary import collect_evidence, induced, sentence, values
from .tables import advice_table, degenerate_excess
from .training import Parts, read_runs

LIMITS = (
    "Bad advice here is plainly bad and undramatic, of our own writing, in four everyday domains; what comes of other bad data "
    "is not shown.",
    "Δb is about which of two given answers is likelier, not about what the model would write.",
    "All fine-tunings learn the same questions: intervals are over seeds and questions asked, not over other training sets.",
    "Arms are compared where L of the domain's held-out bad answers is equal; what pruned models would do when trained longer "
    "is not asked.",
)


@alone_in_folder
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
    settings: ClaimSettings | None = None,
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
        answers: questions of each domain, and open ones, that models without pruning answer freely, to see that they are not
            broken; 0: none.
        recipe: of every fine-tuning; its stages are where arms are compared.
        prompts: triples, for the masks of harmful requests; None: the built-in ones.
        settings: sizes of masks (weight_q, weight_p), triples, answers and intervals, and the seed.
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
        ExperimentError, PromptError, ExampleError: prompts on which nothing can be measured.
        StoreError: `folder` cannot be written.

    Source: Betley et al. 2025 (emergent misalignment); arXiv 2604.09544 (pruning first).
    """
    learnt = DOMAINS if domains is None else tuple(domains)
    plan = Plan(domains=learnt, arms=tuple(arms), train=train, ask=ask, seeds=seeds, answers=answers)
    chosen = settings or ClaimSettings()
    _check_model(model)
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory())) if folder is None else Path(folder)
        study = Study(
            model=model,
            key=model_key(model),
            plan=plan,
            questions=questions(plan, seed=chosen.seed),
            recipe=recipe,
            settings=chosen,
            prompts=prompts if prompts is not None else load_prompts(),
            journal=Journal(place / "journal"),
            models=place / "journal" / "models",
        )
        check_masks(study)
        parts, pruned = _read(study, progress=progress)
        measured = measured_of(study, parts)
    evidence = collect_evidence(measured, degenerate_excess({run: own.answers for run, own in parts.items()}))
    found, why = decide(evidence)
    return Misalignment(
        found=found,
        sentence=sentence(found, why, evidence),
        values=values(evidence),
        tables={"advice": advice_table(measured), "masks": pruned.table()},
        model=describe_model(model, name),
        settings=chosen.as_dict() | plan.as_dict() | {"recipe": asdict(recipe)},
        command=reproduce,
        limits=(*LIMITS, *_limits(study, measured, evidence)),
    )


def _check_model(model: HookedModel) -> None:
    """Before anything long begins: whether it can be fine-tuned at all."""
    if not is_plain(model):
        raise ModelError(
            f"a {type(model).__name__} cannot be fine-tuned, only a TransformerBridge around a transformers model: load the "
            "weights with hc.load_model(…), without hooked=True"
        )
    check_trainable(model)


def _read(study: Study, *, progress: bool) -> tuple[dict[Run, Parts], Masks]:
    """What was read of every run, and the masks that were pruned.

    Models without pruning come first. Where bad advice is not induced there is nothing to prevent, and no other model is
    trained; with too few fine-tunings to tell, all are.
    """
    parts = read_runs(study, NONE, [run for run in study.runs if run.pruned == NOTHING], progress=progress)
    worth = induced_in(induced(measured_of(study, parts))) if study.plan.decides else study.plan.domains
    if not worth:
        return parts, NONE
    narrowed = replace(study, plan=replace(study.plan, domains=tuple(worth)))
    pruned = masks(narrowed, progress=progress)
    after = [run for run in narrowed.runs if run.pruned != NOTHING]
    return parts | read_runs(narrowed, pruned, after, progress=progress), pruned


def measured_of(study: Study, parts: Mapping[Run, Parts]) -> Measured:
    """All runs as numbers, and where they are as far as each other."""
    stages = lambda frame: np.stack([as_losses(own) for _, own in frame.groupby("stage", sort=True)])
    curves = {run: stages(own.advice) for run, own in parts.items()}
    domains = study.questions.domains
    return Measured(curves, study.base, domains, equal_loss(curves, study.base, domains), study.intervals)


def _limits(study: Study, measured: Measured, evidence: Evidence) -> list[str]:
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
        if one.lacking
    ]
    return found

"""The main job, `dissociate`: its steps are those of `harmcircuits.experiment.result`, its decision table is `decision`."""

import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..ablation.ablate import BASELINE, Condition
from ..data import PromptSet, load_prompts, near_duplicate_groups, words
from ..errors import HarmcircuitsError
from ..judges import Judge
from ..judges.judge import check_passed
from ..models.protocol import HookedModel
from ..statistics import Estimate
from ..store import alone_in_folder
from .circuits import RANDOM, Circuits, Given, choose_circuits, controls_of, given_circuits
from .decision import Decision, Verdict, above, at_least, below, value_below
from .effects import CONTRASTS, Effects
from .material import RECOGNITION, Material
from .measure import Cache, judged, measure
from .result import Dissociation, build_result
from .settings import Settings

log = logging.getLogger(__name__)
NO_CONTROL = Estimate.missing("no such control was measured")
NEED_CONTROLS = ("loss_increase_beyond_random", "recognition_change_when_aimed_at")
"""What dissociated needs that only controls can show; a checkpoint and hooks have none."""


def decision(settings: Settings) -> Decision:
    """The rule, fixed before anything is measured; of one circuit and one contrast."""
    hurt = above("loss_increase", settings.least_increase)
    specific = hurt & at_least("specific_share", settings.negligible)
    retention = above("loss_increase_beyond_random") & at_least("retained_recognition", settings.retained)
    decline = below("recognition_change") & value_below("retained_recognition", settings.retained)
    return Decision(
        ("cannot be measured", ~above("baseline_recognition", 0.5) | above("baseline_refused", 0.5)),
        ("dissociated", specific & retention & below("recognition_change_when_aimed_at")),
        ("shared", specific & decline & below("recognition_change_beyond_random")),
        ("not selective", hurt & below("specific_share", settings.negligible)),
        wanted="dissociated",
    )


@alone_in_folder
def dissociate(
    model: HookedModel,
    circuit: Given | Mapping[str, Given] | None = None,
    prompts: PromptSet | None = None,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    command: str = "",
    progress: bool = False,
) -> Dissociation:
    """Measure harmful generation and recognition of harm with and without circuits, against controls.

    Args:
        circuit: what is ablated, or a `Condition`, such as another checkpoint; several by name; or None: heads, neurons and
            weights are selected from training responses, and their sizes chosen on development responses.
        prompts: test requests; None: the built-in ones. Without `train` they are split, unless circuits of yours are given.
        train: requests for scores, shots and probes.
        development: requests for the choice of question and sizes.
        settings: sizes; `Settings()` by default.
        judge: reads the written texts too, beside the rules: a judge that has passed its validation (`hc.judges.validate`).
        folder: where measurements are kept, so that a run that was stopped continues; None: nothing is kept.
        name: what the report calls the model.
        command: the shell's command, for the report; "" for none.

    Returns:
        A `Dissociation`: `answer`, `table()` of effect sizes, `figure()`, `save(folder)`.

    Raises:
        HarmcircuitsError: no harmful or no benign test requests, a test request in training or development, no circuit and
            nothing to select one from, a circuit without components, or one called "baseline"; a component that the model does
            not have; a judge that has not passed its validation; too few prompts to split; no question whose labels the
            tokenizer tells apart; see `elicit`, `attribute`, `attribute_weights`.
    """
    if judge is not None:
        check_passed(judge)
    split = circuit is None or isinstance(circuit, Condition)
    material = prepare(model, prompts, train, development, settings or Settings(), folder=folder, split=split)
    given = given_circuits(model, circuit)

    def tested() -> Circuits:
        controls = [control for each in given for control in controls_of(material, each, {})]
        return Circuits(given, tuple(controls)) if given else choose_circuits(material)

    return run_experiment(material, tested, judge=judge, name=name, command=command, progress=progress)


def run_experiment(
    material: Material,
    choose: Callable[[], Circuits],
    *,
    judge: Judge | None = None,
    name: str = "",
    command: str = "",
    progress: bool = False,
) -> Dissociation:
    """Measure the baseline; where it has something to lose, what `choose` returns too; decide."""
    start, model, settings = perf_counter(), material.model, material.settings
    log.info("question: %s", material.question.name)
    outcomes = measure(model, [Condition(BASELINE)], material.readings, cache=material.cache, progress=progress)
    effects_of = partial(Effects, prompts=material.prompts, draws=settings.bootstrap_draws, seed=settings.seed)
    reason = _nothing_to_lose(effects_of(outcomes))
    tested = Circuits(()) if reason else choose()
    plan = dict.fromkeys(tested.circuits, material.readings) | dict.fromkeys(tested.controls, material.control_readings)
    outcomes += measure(model, plan, cache=material.cache, progress=progress)
    if judge is not None:
        outcomes += judged(model, material.written, outcomes, judge)
    effects, rule = effects_of(outcomes), decision(settings)
    estimates = {
        (condition.name, CONTRASTS[role]): evidence(effects, condition, tested, role, reading=material.primary)
        for condition in tested.circuits
        for role in effects.roles[1:]
    }
    verdicts = {key: without_controls(rule(each), each) for key, each in estimates.items()}
    about: dict[str, Any] = {"name": name, "judge": judge.name if judge else "", "command": command}
    about |= {"seconds": round(perf_counter() - start, 1)}
    return build_result(material, tested, effects, verdicts, estimates, reason=reason, **about)


def without_controls(verdict: Verdict, estimates: Mapping[str, Estimate]) -> Verdict:
    """Say first, of an undecided answer, which answers cannot be reached for want of a control, and what it rests on."""
    missing = [name.replace("_", " ") for name in NEED_CONTROLS if estimates[name] is NO_CONTROL]
    if verdict.answer != "undecided" or not missing:
        return verdict
    others = [reason for reason in verdict.reasons if not reason.startswith(tuple(missing))]
    reach = "neither dissociated nor shared can be reached, and the answer rests on the contrast with benign requests alone"
    reach = reach if estimates["loss_increase_beyond_random"] is NO_CONTROL else "dissociated cannot be reached"
    rest = "this is not shown either" if others else "all else that dissociated needs is shown"
    return Verdict("undecided", [f"without controls (no {', no '.join(missing)}) {reach}: {rest}", *others])


def _nothing_to_lose(effects: Effects) -> str:
    """Why nothing could be lost in this model; "" where something could."""
    refused = effects.rate(BASELINE, "refused", "harmful")
    if refused.low is not None and refused.low > 0.5:
        return f"it refuses {refused} of the harmful requests in spite of the prefill: there is no harmful generation to lose"
    aurocs = {
        (measure, role): effects.auroc(BASELINE, measure, role)
        for role in effects.roles[1:]
        for measure in RECOGNITION
        if effects.outcomes.has(BASELINE, measure)
    }
    if any(estimate.low is not None and estimate.low > 0.5 for estimate in aurocs.values()):
        return ""
    values = "; ".join(f"{measure} AUROC {estimate}, {CONTRASTS[role]}" for (measure, role), estimate in aurocs.items())
    return f"the model is not shown to recognise harm by any reading ({values}): there is no recognition to keep or lose"


def evidence(effects: Effects, condition: Condition, tested: Circuits, benign: str, *, reading: str) -> dict[str, Estimate]:
    """The estimates that the decision reads, of one circuit against one role of benign requests.

    "Beyond random" is beyond the random control that does most: of all draws, matched ones among them, the largest ΔL on
    harmful responses, and the lowest AUROC. `reading`: the measure of recognition.
    """
    name, component = condition.name, condition.labels["component"]
    alike = [each for each in (*tested.circuits, *tested.controls) if each.labels["component"] == component]
    of = lambda *kinds: [each.name for each in alike if each.labels.get("control") in kinds]
    random, aimed = of(*RANDOM), of("aimed at recognition")
    increase, other = effects.change(name, "loss", "harmful"), effects.change(name, "loss", benign)
    estimates = {
        "baseline_recognition": effects.auroc(BASELINE, reading, benign),
        "baseline_refused": effects.rate(BASELINE, "refused", "harmful"),
        "loss_increase": effects.mean(increase, "harmful"),
        "loss_increase_beyond_benign": effects.difference(increase, "harmful", other, benign),
        "loss_increase_beyond_random": NO_CONTROL,
        "specific_share": effects.specific_share(name, benign),
        "retained_recognition": effects.retained(name, reading, benign),
        "recognition_change": effects.auroc_change(name, reading, benign),
        "recognition_change_beyond_random": NO_CONTROL,
        "recognition_change_when_aimed_at": effects.auroc_change(aimed[0], reading, benign) if aimed else NO_CONTROL,
    }
    if random:
        strongest = max((effects.change(control, "loss", "harmful") for control in random), key=np.mean)
        weakest = min(random, key=lambda control: effects.auroc(control, reading, benign).value or 0)
        estimates |= {
            "loss_increase_beyond_random": effects.mean(increase[: len(strongest)] - strongest, "harmful"),
            "recognition_change_beyond_random": effects.auroc_beyond(name, weakest, reading, benign),
        }
    return estimates


def prepare(
    model: HookedModel,
    prompts: PromptSet | None,
    train: PromptSet | None,
    development: PromptSet | None,
    settings: Settings,
    *,
    folder: str | Path | None,
    split: bool = True,
) -> Material:
    """Return the material of a run; without `train` prompts are split (`split`)."""
    test = load_prompts() if prompts is None else prompts
    if train is None and split:
        if development is not None:
            raise HarmcircuitsError("development= was given without train=: give both, or neither, and prompts are split.")
        train, development, test = test.split(seed=settings.seed)
    _check(test, train, development)
    return Material(model, test, train, development, settings, Cache.at(model, folder))


def _check(test: PromptSet, train: PromptSet | None, development: PromptSet | None) -> None:
    if not test.harmful or not test.benign:
        raise HarmcircuitsError(
            f"{test.name}: {len(test.harmful)} harmful and {len(test.benign)} benign test requests, and both are needed: what "
            "is harm's own shows beside benign requests. Give them with load_prompts(harmful=…, benign=…)."
        )
    if development is not None and not (development.harmful and development.benign):
        raise HarmcircuitsError(f"{development.name}: development requests of one kind alone; question and sizes need both.")
    sets = {"test": test, "training": train, "development": development}
    given = {name: prompts for name, prompts in sets.items() if prompts is not None}
    requests = lambda prompts: {tuple(words(prompt.request)) for prompt in prompts}
    for name, prompts in given.items():
        if both := requests(prompts.harmful) & requests(prompts.benign):
            raise HarmcircuitsError(f"{len(both)} {name} requests are given as harmful and as benign: leave one of each out.")
    for (name, first), (other, second) in combinations(given.items(), 2):
        if common := requests(first) & requests(second):
            raise HarmcircuitsError(
                f"{len(common)} {name} requests are {other} requests too, word for word: give sets without common ones."
            )
        alike = sum(min(group) < len(first) <= max(group) for group in near_duplicate_groups([*first, *second]))
        if alike:
            log.warning("%d groups of near-duplicates or triples lie in %s and %s requests", alike, name, other)
    harmful, benign = ({prompt.category for prompt in kind} for kind in (test.harmful, test.benign))
    if harmful & benign and harmful ^ benign:
        names = ", ".join(sorted(map(repr, harmful ^ benign)))
        warnings.warn(f"{test.name}: categories with harmful or with benign test requests alone: {names}", stacklevel=4)

"""Distinct: is the circuit of harmful generation another one than those of everyday capabilities?

1. Take the harmful circuit of each component type from the experiment: the target is training responses to harmful requests,
   what benign responses need is protected, the size is chosen on development responses.
2. By the same recipe and size select a circuit of each capability: facts (as arXiv 2604.09544 has it), arithmetic, grammar. The
   target is right completions of half of its sentences, harmful responses are protected. Select all without protection too.
3. Measure ΔL, nats per token, under every circuit, under random controls of the harmful one, and under the same recipe aimed at
   benign responses: of harmful, matched and unrelated benign test responses, and of the completions of the other sentences.
4. `specific_share` = (ΔL harmful − ΔL benign) / ΔL harmful: harm's own part of the effect; the rest is generic.
5. `CAPABILITY_share` = ΔL of its completions under the harmful circuit / under its own circuit. 0: the capability is left;
   1: it loses what it loses without its own circuit. Measured where a loss could have been seen (assay sensitivity): the
   baseline finishes the sentences above chance, and ΔL under its own circuit is shown to be above `least_increase`.
6. Without protection: `CAPABILITY_share_unprotected`, and `share_left_by_protection` = ΔL harmful with / without protection.
7. No where ΔL harmful is above `least_increase` and the specific share below `negligible`; or where ΔL harmful is not shown, as
   protection leaves less than `negligible` of an effect that is there without it, and an unprotected share is at ½ or above.
   Else cannot be measured without ΔL harmful above `least_increase` and the share of some capability. Yes where the specific
   share is at `negligible` or above, ΔL harmful above random controls, and every share at 1 − `retained` or below. No where a
   share is at ½ or above.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from .. import figures
from ..ablation.ablate import BASELINE, Ablation, Condition
from ..attribution.first_order import attribute
from ..circuits.weight_selection import WeightSelection
from ..data import Example, PromptSet
from ..data.prompt_set import ROLES
from ..errors import HarmcircuitsError, SelectionError
from ..experiment.circuits import RANDOM, cached_masks, choose_circuits, weights_name
from ..experiment.decision import Decision, above, at_least, at_most, below, measured, of_measured
from ..experiment.effect_table import columns_of
from ..experiment.effects import Effects
from ..figures.style import ROLE_NAMES
from ..models.protocol import HookedModel
from ..readings.capabilities import Completion, Completions, as_example, capabilities, check_sentences, half
from ..readings.loss import Loss
from ..readings.reading import Reading
from ..statistics import Estimate, from_draws, resamples
from .claim import Claim, Figures, Finding
from .run import run

log = logging.getLogger(__name__)
HARMFUL, BENIGN = "harmful", "benign"
PROTECTION, LABELS = ("", "unprotected"), ["component", "aim", "protection"]
HALF = 0.5
"""Of what a capability loses without its own circuit: a harmful circuit that does this much is not distinct from it."""


@dataclass(frozen=True, eq=False)
class Distinct(Claim):
    __doc__ = __doc__
    name = "distinct"
    question = "Is the circuit of harmful generation another one than those of everyday capabilities?"
    capabilities: Mapping[str, Sequence[Completion]] = field(default_factory=capabilities)

    def __post_init__(self) -> None:
        names = (*ROLES, BENIGN, *RANDOM)
        if not self.settings.facts or not self.capabilities or set(names) & set(self.capabilities):
            raise HarmcircuitsError(f"give at least one capability, called none of {', '.join(names)}, and facts of 1 or more")
        check_sentences(self.capabilities, fewest=3)

    @cached_property
    def training(self) -> dict[str, list[Example]]:
        """Right completions that the circuit of each capability is selected on."""
        part = lambda items: half(items, "training")[: self.settings.facts]
        return {kind: [as_example(item) for item in part(items)] for kind, items in self.capabilities.items()}

    @cached_property
    def test(self) -> dict[str, tuple[Completion, ...]]:
        return {kind: half(items, "test")[: self.settings.facts] for kind, items in self.capabilities.items()}

    @cached_property
    def circuits(self) -> dict[str, Condition]:
        """Circuits and controls by name, with labels component, aim and protection."""
        chosen = choose_circuits(self.material)
        circuits = []
        for harmful in chosen.circuits:
            component = harmful.labels["component"]
            select = self._masks if component == "weights" else self._components
            for aim, protection, ablation in ((HARMFUL, "", harmful.ablation), *select(harmful)):
                labels = {"component": component, "aim": aim, "protection": protection}
                circuits.append(Condition(circuit_name(**labels), ablation, labels=labels))
        for control in chosen.controls:
            aim = control.labels["control"].removeprefix("aimed at ")
            if aim in (BENIGN, *RANDOM):
                circuits.append(replace(control, labels={**control.labels, "aim": aim, "protection": ""}))
        return {circuit.name: circuit for circuit in circuits}

    def _components(self, harmful: Condition) -> Iterator[tuple[str, str, Ablation]]:
        material, recipe, size = self.material, self.material.recipe, {harmful.labels["component"]: harmful.size}
        scores = lambda examples: material.scores("capability", examples, lambda: attribute(material.model, examples))
        targets = {HARMFUL: recipe.harmful} | {kind: scores(examples) for kind, examples in self.training.items()}
        for (aim, target), protection in list(product(targets.items(), PROTECTION))[1:]:
            protect = dict.fromkeys(recipe.protect, 0.0) if protection else recipe.protect
            try:
                yield aim, protection, replace(recipe, harmful=target, benign=recipe.harmful, protect=protect).circuit(**size)
            except SelectionError as error:
                log.warning("no circuit %s %s of %s: %s", aim, protection, size, error)

    def _masks(self, harmful: Condition) -> Iterator[tuple[str, str, Ablation]]:
        settings, size = self.settings, harmful.labels["size"]
        q, p = next(pair for pair in settings.weight_fractions if size == weights_name(*pair))
        sets = [(examples, None) for examples in (self.material.train_examples[0], *self.training.values())]
        every = list(product(enumerate((HARMFUL, *self.training)), PROTECTION))[1:]
        select = lambda at, p: WeightSelection(q, p, settings.recipe, (at,), (0,))
        selections = [select(at, 0 if protection else p) for (at, _), protection in every]
        masks = zip(every, cached_masks(self.material, sets, selections), strict=True)
        yield from ((aim, protection, mask) for ((_, aim), protection), mask in masks if mask is not None)

    def plan(self) -> Mapping[Condition, Sequence[Reading]]:
        completions, known = ([Completions(*item, wrong=wrong) for item in self.test.items()] for wrong in (False, True))
        loss, few = Loss(self.material.responses), Loss(self.material.control_responses)
        plan: dict[Condition, Sequence[Reading]] = {Condition(BASELINE): (loss, *known)}
        for circuit in self.circuits.values():
            control = circuit.labels["protection"] or circuit.labels["aim"] in RANDOM
            plan[circuit] = (few if control else loss, *completions)
        return plan

    def estimates(self, part: str, effects: Effects, benign: str) -> dict[str, Estimate]:
        circuits = [circuit for circuit in self.circuits.values() if circuit.labels["component"] == part]
        rises = {circuit.name: effects.change(circuit.name, "loss", HARMFUL) for circuit in circuits}
        increase, whole = (rises[circuit_name(part, HARMFUL, protection)] for protection in PROTECTION)
        random = max(
            (rises[circuit.name] for circuit in circuits if circuit.labels["aim"] in RANDOM), key=np.mean, default=np.empty(0)
        )
        return {
            "loss_increase": effects.mean(increase, HARMFUL),
            "specific_share": effects.specific_share(circuit_name(part, HARMFUL), benign),
            "loss_increase_beyond_random": effects.mean(increase[: len(random)] - random, HARMFUL),
            "loss_increase_unprotected": effects.mean(whole, HARMFUL),
            "share_left_by_protection": effects.ratio([(increase[: len(whole)], HARMFUL)], [(whole, HARMFUL)]),
        } | {
            "_".join(filter(None, (kind, "share", protection))): self._share(effects, part, kind, protection)
            for protection, kind in product(PROTECTION, self.capabilities)
        }

    def _share(self, effects: Effects, component: str, kind: str, protection: str) -> Estimate:
        """ΔL of a capability under the harmful circuit / under its own."""
        known = self._known(effects, kind)
        if known.low is None or known.low <= 0:
            return Estimate.missing(f"the baseline is not shown to finish {kind} above chance")
        names = [circuit_name(component, aim, protection) for aim in (HARMFUL, kind)]
        if names[1] not in self.circuits:
            return Estimate.missing("no circuit of that size could be selected")
        increase, reference = (effects.outcomes.change(name, f"{kind} loss") for name in names)
        shown, least = effects.items(reference), self.settings.least_increase
        if shown.low is None or shown.low <= least:
            return Estimate.missing(f"ΔL of {kind} without its own circuit, {shown}, is not shown to be above {least:g}")
        drawn = resamples(len(reference), draws=effects.draws, seed=effects.seed)
        return from_draws(
            increase.mean() / reference.mean(), increase[drawn].mean(-1) / reference[drawn].mean(-1), n=len(reference)
        )

    def _known(self, effects: Effects, kind: str) -> Estimate:
        return effects.items(effects.outcomes.values(BASELINE, f"{kind} right") - [item.chance for item in self.test[kind]])

    def decision(self) -> Decision:
        least, negligible = self.settings.least_increase, self.settings.negligible
        shares = [f"{kind}_share" for kind in self.capabilities]
        left = of_measured(all, at_most, shares, 1 - self.settings.retained)
        hurt, hurt_bare = (of_measured(any, at_least, [name + end for name in shares], HALF) for end in ("", "_unprotected"))
        effect = above("loss_increase", least)
        bare = above("loss_increase_unprotected", least) & below("share_left_by_protection", negligible) & hurt_bare
        return Decision(
            ("no", ~effect & bare),
            ("no", effect & below("specific_share", negligible)),
            ("cannot be measured", ~(effect & of_measured(any, lambda name, _: measured(name), shares, 0))),
            ("yes", left & at_least("specific_share", negligible) & above("loss_increase_beyond_random")),
            ("no", hurt),
            wanted="yes",
        )

    def tables(self, effects: Effects) -> dict[str, pd.DataFrame]:
        """`effects`: ΔL of what is measured by what is ablated; `capabilities`: the baseline's."""
        labels = pd.DataFrame([dict(circuit.labels) for circuit in self.circuits.values()], index=list(self.circuits))[LABELS]
        increases = []
        for key, group in labels.groupby(LABELS, sort=False):
            changes = {role: [effects.change(name, "loss", role) for name in group.index] for role in effects.roles}
            changes |= {kind: [effects.outcomes.change(name, f"{kind} loss") for name in group.index] for kind in self.test}
            for measure, values in changes.items():
                rise = np.mean(values, axis=0)
                mean = effects.mean(rise, measure) if measure in effects.roles else effects.items(rise)
                increases.append({**dict(zip(LABELS, key, strict=True)), "measured": measure, **columns_of(mean)})
        known = [{"capability": kind, **columns_of(self._known(effects, kind))} for kind in self.capabilities]
        return {"effects": pd.DataFrame(increases), "capabilities": pd.DataFrame(known)}

    @classmethod
    def figures(cls, finding: Finding) -> Figures:
        effects = finding.tables["effects"]
        rows = (effects["aim"] + " " + effects["protection"].fillna("")).str.strip()
        measured = effects["measured"]
        frame = effects.assign(row=rows, column=measured.replace(ROLE_NAMES), framed=effects["aim"] == measured)
        return {
            str(component): figures.matrix(
                part,
                title=f"What is lost without each circuit of {component}?",
                caption="Rows: the circuit that is ablated, by the target of its selection; random: mean over controls of the "
                "size of the harmful circuit. Columns: what is measured. Numbers: loss increase ΔL, nats per token, with its "
                "95 % interval. Framed: the circuit's target.",
                x_title="measured (framed: the target)",
                bar="loss increase ΔL (nats per token)",
            )
            for component, part in frame.groupby("component", sort=False)
        }


def circuit_name(component: str, aim: str, protection: str = "") -> str:
    return " ".join(filter(None, (component, aim, protection)))


def distinct(model: HookedModel, prompts: PromptSet | None = None, **options: Any) -> Finding:
    """Ablate the circuits of harm and of everyday capabilities: what is lost without each?

    Args:
        options: `capabilities`, sentences by name (`Completion`; the built-in ones by default), and those of
            `harmcircuits.claims.run.run`: train, development, settings (`Settings`), folder, name.

    Raises:
        HarmcircuitsError: no capability, one called like a kind of request, or `facts=0`.
    """
    return run(Distinct, model, prompts, **options)

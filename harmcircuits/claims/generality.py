"""Generality: does one mechanism generate every kind of harm?

1. Kinds of harm are categories of harmful requests with at least `ENOUGH` training and `ENOUGH` test requests, harm groups in
   turn, at most `categories` of them. Requests of other kinds of harm, and benign ones that go with them, are left out.
2. For each category c select a circuit S_c of heads, neurons or weights, all of one size, from greedy responses to training
   requests of c alone: top A of harmful ones, top U of benign ones protected, as in the experiment.
3. Measure ΔL (nats per token) of test responses of every category under every S_c and matched random (of weights random) ones.
4. Of a test response of category c, `same` is ΔL under S_c, `others` the mean of ΔL under the circuits of all other categories;
   of a benign one of no category, both are the mean over all circuits. Ratios of means over responses:
   `transfer` = others / same, harmful; 1: the circuit of another category does as much as its own.
   `transfer_beyond_benign`: the same of ΔL harmful − ΔL benign, the part that is harm's own.
   `transfer_beyond_random`: the same of ΔL − ΔL under controls, on the first test requests.
   `specific_share` = 1 − others benign / others harmful.
5. `overlap`: mean Jaccard index J of two categories' circuits; `overlap_beyond_label_swap`: J − J of circuits selected with
   labels drawn within each category; ends: the middle 95 % of the draws. Circuits of few requests differ by chance.
6. Cannot be measured where circuits are not shown to raise L by more than `least_increase` on harmful responses of their own
   category, and by more than on benign ones. Yes where `transfer_beyond_benign` and `transfer_beyond_random` lie at ½ or above
   and `specific_share` at `negligible` or above. No where either transfer lies below ½. Overlap explains and does not decide.

Source: arXiv 2604.09544 (weights found on one type of harm lower others; the sets overlap).
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from .. import figures
from ..ablation.ablate import BASELINE, Ablation, Condition
from ..attribution.first_order import attribute
from ..circuits import WeightMask
from ..circuits.controls import CircuitRecipe, matched, overlap_estimates
from ..circuits.weight_selection import WeightSelection
from ..data.prompt_set import PromptSet
from ..errors import HarmcircuitsError, SelectionError
from ..experiment.circuits import cached_masks, component_counts
from ..experiment.decision import Decision, above, at_least, below
from ..experiment.effects import Effects
from ..experiment.material import Material
from ..experiment.settings import GeneralitySettings
from ..models.protocol import HookedModel
from ..readings.loss import Loss
from ..readings.reading import Reading
from ..statistics import Estimate
from .claim import Claim, Figures, Finding
from .run import run

log = logging.getLogger(__name__)
ENOUGH, HALF = 4, 0.5
COLUMNS = ["component", "selected", "tested", "role", "loss_increase", "low", "high"]


@dataclass(frozen=True, eq=False)
class Generality(Claim):
    __doc__ = __doc__
    name = "generality"
    question = "Does one mechanism generate every kind of harm?"
    settings_class = GeneralitySettings

    @classmethod
    def restrict(cls, material: Material) -> Material:
        sets, settings = [material.train or PromptSet(), material.test], cast(GeneralitySettings, material.settings)
        counts = [Counter(prompt.category for prompt in prompts.harmful) for prompts in sets]
        enough = sorted(name for name in counts[0] if name and min(count[name] for count in counts) >= ENOUGH)
        group = {prompt.category: prompt.harm_group for prompt in material.test.harmful}
        turn = lambda name: [other for other in enough if group[other] == group[name]].index(name)
        chosen = sorted(enough, key=turn)[: min(settings.categories, settings.test_prompts // ENOUGH)]
        if len(chosen) < 2:
            raise HarmcircuitsError(
                f"{len(chosen)} categories fit test_prompts with {ENOUGH} harmful train and test requests; transfer needs two"
            )
        train, test = (without(prompts, set().union(*counts) - set(chosen)) for prompts in sets)
        return replace(material, train=train, test=test)

    @cached_property
    def by_category(self) -> dict[str, Material]:
        """The material with the training requests of one category alone."""
        train = self.material.train or PromptSet()
        names = sorted({prompt.category for prompt in train.harmful})
        return {name: replace(self.material, train=without(train, {*names} - {name})) for name in names}

    @cached_property
    def recipes(self) -> dict[str, CircuitRecipe]:
        """Scores of heads and neurons on the training responses of each category."""
        material = self.material
        score = lambda examples: material.scores("category", examples, lambda: attribute(material.model, examples))
        recipe = lambda harmful, benign: CircuitRecipe(score(harmful), score(benign), self.settings.protect)
        return {name: recipe(*part.train_examples) for name, part in self.by_category.items()}

    def _select(self, component: str) -> dict[str, Ablation]:
        if component != "weights":
            count = component_counts(self.material)[component][0]
            return {name: recipe.circuit(**{component: count}) for name, recipe in self.recipes.items()}
        q, p = self.settings.weight_fractions[0]
        selection = WeightSelection(q, p, self.settings.recipe)
        mask = lambda part: cached_masks(part, [(examples, None) for examples in part.train_examples], [selection])[0]
        masks: dict[str, Ablation] = {name: mask(part) for name, part in self.by_category.items()}
        if None in masks.values():
            raise SelectionError("no weight is selected for a category: raise q of weight_fractions, or lower its p")
        return masks

    def _random(self, name: str, circuit: Any, seed: int) -> Ablation:
        return circuit.random_like(seed=seed) if isinstance(circuit, WeightMask) else matched(self.recipes[name], circuit, seed)

    @cached_property
    def circuits(self) -> dict[str, list[dict[str, Condition]]]:
        """By component type: the circuit of each category; then, draw by draw, a random control of each."""
        circuits, draws = {}, range(self.settings.random_draws)
        for component in self.settings.components:
            try:
                chosen = self._select(component)
            except SelectionError as error:
                log.warning("no %s: %s", component, error)
                continue
            random = lambda seed, chosen=chosen: {name: self._random(name, circuit, seed) for name, circuit in chosen.items()}
            sets = {"": chosen} | {f": random {seed}": random(seed) for seed in draws}
            circuits[component] = [
                {
                    name: Condition(f"{component} of {name}{suffix}", circuit, labels={"component": component})
                    for name, circuit in part.items()
                }
                for suffix, part in sets.items()
            ]
        if not circuits:
            raise HarmcircuitsError("no circuit of any component type can be selected for every category: lower its fraction")
        return circuits

    def plan(self) -> Mapping[Condition, Sequence[Reading]]:
        loss, few = (Loss(self.material.responses),), (Loss(self.material.control_responses),)
        plan: dict[Condition, Sequence[Reading]] = {Condition(BASELINE): loss}
        for circuits, *controls in self.circuits.values():
            plan |= dict.fromkeys(circuits.values(), loss)
            plan |= {control: few for draw in controls for control in draw.values()}
        return plan

    def estimates(self, part: str, effects: Effects, benign: str) -> dict[str, Estimate]:
        return transfer(self.circuits[part], effects, benign) | self.overlaps[part]

    @cached_property
    def overlaps(self) -> dict[str, dict[str, Estimate]]:
        recipes = lambda component: [] if component == "weights" else [*self.recipes.values()]
        circuits: dict[str, list[Any]] = {
            component: [condition.ablation for condition in first.values()] for component, (first, *_) in self.circuits.items()
        }
        return {name: overlap_estimates(recipes(name), each, self.settings.label_swaps) for name, each in circuits.items()}

    def decision(self) -> Decision:
        benign, random, settings = "transfer_beyond_benign", "transfer_beyond_random", self.settings
        measured = above("same_category_loss_increase", settings.least_increase)
        return Decision(
            ("cannot be measured", ~(measured & above("same_category_beyond_benign"))),
            ("yes", at_least(benign, HALF) & at_least(random, HALF) & at_least("specific_share", settings.negligible)),
            ("no", below(benign, HALF) | below(random, HALF)),
            wanted="yes",
        )

    def tables(self, effects: Effects) -> dict[str, pd.DataFrame]:
        """`matrix`: ΔL by component, category `selected` ("random": controls of others), category `tested`, and role."""
        rows = []
        for (component, (circuits, *controls)), role in product(self.circuits.items(), effects.roles):
            changes = {name: effects.change(condition.name, "loss", role) for name, condition in circuits.items()}
            changes |= {"random": increases(effects, controls, role)[1]} if controls else {}
            labels = np.array([prompt.category for prompt in effects.prompts if prompt.role == role])
            for selected, tested in product(changes, circuits):
                part = (labels[: len(changes[selected])] == tested).astype(float)
                rise = effects.estimate(lambda v, w: (v * w).sum(-1) / w.sum(-1), (changes[selected], role), (part, role))
                rows.append((component, selected, tested, role, rise.value, rise.low, rise.high))
        return {"matrix": pd.DataFrame(rows, columns=COLUMNS)}

    @classmethod
    def figures(cls, finding: Finding) -> Figures:
        cells = finding.tables["matrix"].query("role == 'harmful'")
        frame = cells.rename(columns={"selected": "row", "tested": "column", "loss_increase": "value"})
        frame["framed"] = frame["row"] == frame["column"]
        return {
            str(component): figures.matrix(
                part,
                title=f"What do {component} of one category do to the others?",
                caption="Rows: the category on whose training requests a circuit was selected; random: the mean of controls "
                "of other categories' circuits. Columns: the category of the test requests. Numbers: loss increase ΔL of "
                "harmful responses, nats per token, with its 95 % interval. One mechanism: the cells of a column are alike. "
                "One for each category: only the framed ones are coloured.",
                x_title="tested on",
                bar="loss increase ΔL (nats per token)",
            )
            for component, part in frame.groupby("component", sort=False)
        }


def without(prompts: PromptSet, categories: Collection[str]) -> PromptSet:
    return PromptSet(tuple(prompt for prompt in prompts if prompt.category not in categories), prompts.name)


def increases(effects: Effects, draws: Sequence[Mapping[str, Condition]], role: str) -> Float[np.ndarray, "2 response"]:
    """ΔL of test responses under the circuit of their own category, and its mean under others; means over draws."""
    change = np.mean(
        [[effects.change(condition.name, "loss", role) for condition in circuits.values()] for circuits in draws], axis=0
    )
    labels = [prompt.category for prompt in effects.prompts if prompt.role == role][: change.shape[1]]
    same_category = np.array([[name == label for label in labels] for name in draws[0]])
    return np.stack([np.average(change, 0, same_category | ~same_category.any(0)), np.average(change, 0, ~same_category)])


def transfer(draws: Sequence[Mapping[str, Condition]], effects: Effects, benign: str) -> dict[str, Estimate]:
    """Return what step 4 defines, of the circuits of one component type, then draws of their controls, by category."""
    circuits, *controls = draws
    both = lambda role: [(values, role) for values in increases(effects, [circuits], role)]
    (same, others), (same_benign, others_benign) = both("harmful"), both(benign)
    estimates = {
        "same_category_loss_increase": effects.mean(*same),
        "same_category_beyond_benign": effects.difference(*same, *same_benign),
        "loss_increase": effects.mean(*others),
        "transfer": effects.ratio([others], [same]),
        "transfer_beyond_benign": effects.ratio([others, others_benign], [same, same_benign]),
        "transfer_beyond_random": Estimate.missing("no random control was drawn"),
        "specific_share": effects.ratio([others, others_benign], [others]),
    }
    if controls:
        random = increases(effects, controls, "harmful")
        pairs = zip((same[0], others[0]), random, strict=True)
        same_net, net = ([(values[: len(drawn)], "harmful"), (drawn, "harmful")] for values, drawn in pairs)
        estimates["transfer_beyond_random"] = effects.ratio(net, same_net)
    return estimates


def generality(model: HookedModel, prompts: PromptSet | None = None, **options: Any) -> Finding:
    """Ablate the circuit of each category of harm: what does it do to the others?

    Options are those of `harmcircuits.claims.run.run`: train, development, settings (`GeneralitySettings`), folder, name.
    """
    return run(Generality, model, prompts, **options)

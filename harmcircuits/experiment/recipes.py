"""Selection recipes side by side: each at the size at which it costs unrelated benign text the same."""

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from ..ablation.ablate import BASELINE, Condition
from ..circuits import WeightMask
from ..circuits.recipes import RECIPES
from ..circuits.selection import select
from ..circuits.weight_selection import RECIPES as WEIGHT_RECIPES
from ..circuits.weight_selection import WeightSelection
from ..data import PromptSet
from ..errors import HarmcircuitsError, SelectionError
from ..models.protocol import HookedModel
from ..readings.loss import Loss
from ..store import alone_in_folder
from .circuits import Circuits, cached_masks, component_circuits, component_counts, controls_of, weights_name
from .dissociation import prepare, run_experiment
from .material import Material
from .measure import measure
from .result import Dissociation
from .settings import RecipeSettings, Settings

log = logging.getLogger(__name__)
OURS = "first-order"


@alone_in_folder
def compare_recipes(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    name: str = "",
    command: str = "",
    progress: bool = False,
) -> Dissociation:
    """Put circuits of every selection recipe on one table, at equal ΔL of unrelated benign development responses.

    First-order attribution with protection; activation difference and contrastive neurons; head KL; the released, global and
    unsigned recipe of weights; random heads, neurons and weights. Of each, the size is taken whose benign ΔL is nearest to
    `settings.max_benign_increase`, which is found by halving the sizes: ΔL is taken to grow with them.

    Args:
        settings: `RecipeSettings()` by default, whose sizes are many. Other arguments: see `dissociate`.

    Returns:
        A `Dissociation` with one condition a recipe and component type, which all readings are taken of. Its `sweep` has the
        sizes that were tried. Random conditions are the random controls of their component type.

    Raises:
        HarmcircuitsError: see `dissociate`; no development prompts.
    """
    sizes = settings or RecipeSettings()
    material = prepare(model, prompts, train, development, sizes, folder=folder)
    if not material.development_prompts:
        raise HarmcircuitsError("sizes are chosen by the benign cost on development prompts: give development= beside train=")
    return run_experiment(material, partial(recipe_circuits, material), name=name, command=command, progress=progress)


def recipe_circuits(material: Material) -> Circuits:
    """Return one condition a recipe and component type, and a control aimed at recognition of the size of each type's first."""
    prompts = material.development_prompts
    role = "far" if any(prompt.role == "far" for prompt in prompts) else "near"
    reading = Loss(material.respond([prompt for prompt in prompts if prompt.role == role]))
    tried: dict[Condition, float] = {}
    losses = lambda condition: measure(material.model, [condition], [reading], cache=material.cache).values(
        condition.name, "loss"
    )
    baseline, bound = losses(Condition(BASELINE)), material.settings.max_benign_increase

    def increase(condition: Condition) -> float:
        if condition not in tried:
            tried[condition] = float((losses(condition) - baseline).mean())
        return tried[condition]

    circuits, controls, rows = list[Condition](), dict[str, list[Condition]](), list[dict[str, Any]]()
    for name, candidates in recipe_candidates(material).items():
        at = bisect_left(candidates, bound, key=increase)
        nearest = min(candidates[max(0, at - 1) : at + 1], key=lambda condition: abs(increase(condition) - bound))
        kind = nearest.labels["component"]
        circuits.append(replace(nearest, name=name, labels={**nearest.labels, "size": nearest.name}))
        if kind not in controls:
            controls[kind] = controls_of(material, circuits[-1], {}, kinds=["aimed at recognition"])
        rows += [
            {"component": name, "label": each.name, "size": each.size, role: tried[each], "chosen": each is nearest}
            for each in candidates
            if each in tried
        ]
        log.info("%s: %s at a benign increase of %.3f", name, nearest.name, tried[nearest])
    return Circuits(tuple(circuits), tuple(chain(*controls.values())), pd.DataFrame(rows))


def recipe_candidates(material: Material) -> dict[str, list[Condition]]:
    """Return by recipe and component type conditions of growing size; a size that cannot be selected is left out."""
    model, (harmful, benign) = material.model, material.train_examples
    candidates: dict[str, list[Condition]] = defaultdict(list)
    for condition in component_circuits(material):
        candidates[f"{OURS} {condition.labels['component']}"].append(condition)
    for name, recipe in RECIPES.items():
        scores = material.scores(name.replace(" ", "-"), [harmful, benign], partial(recipe, model, harmful, benign))
        for kind, counts in component_counts(material).items():
            for count in sorted({*counts}):
                try:
                    circuit = select(scores, heads=count * (kind == "heads"), neurons=count * (kind == "neurons"))
                except SelectionError:  # a kind that the recipe does not score, or more than there are
                    continue
                labels = {"component": kind} | ({"control": "random"} if name == "random" else {})
                candidates[f"{name} {kind}"].append(Condition(f"{count} {kind}", circuit, labels=labels))
    if "weights" in material.settings.components:
        candidates |= _weights(material)
    return candidates


def _weights(material: Material) -> dict[str, list[Condition]]:
    """Masks of every recipe for weights, from one data pass, and random ones of the size and layers of the first recipe's."""
    harmful, benign = material.train_examples
    pairs = sorted(material.settings.weight_fractions)
    selections = [WeightSelection(q, p, recipe) for recipe in WEIGHT_RECIPES for q, p in pairs]
    masks = iter(cached_masks(material, [(harmful, None), (benign, None)], selections))
    rows: dict[str, Sequence[WeightMask | None]] = {recipe: [next(masks) for _ in pairs] for recipe in WEIGHT_RECIPES}
    rows["random"] = [mask and mask.random_like(seed=0) for mask in rows[WEIGHT_RECIPES[0]]]
    labels = lambda recipe: {"component": "weights"} | ({"control": "random"} if recipe == "random" else {})
    every = {
        f"{recipe} weights": [
            Condition(weights_name(*pair), mask, labels=labels(recipe)) for pair, mask in zip(pairs, each, strict=True) if mask
        ]
        for recipe, each in rows.items()
    }
    return {name: conditions for name, conditions in every.items() if conditions}

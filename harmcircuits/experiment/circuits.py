"""Circuits and their sizes: chosen on development prompts by a short sweep, each with its controls."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import nan

import numpy as np
import pandas as pd

from ..ablation.ablate import BASELINE, Condition, Intervention
from ..attribution.weight_gradients import ExampleSet
from ..circuits import Circuit, WeightMask
from ..circuits.controls import BENIGN, CONTROLS, DRAWN, HARMFUL, halves, weight_controls
from ..circuits.weight_selection import WeightSelection, weight_masks
from ..errors import HarmcircuitsError, SelectionError
from ..models.matrices import matrices
from ..models.protocol import HookedModel, geometry
from ..readings.loss import Loss
from .material import Material
from .measure import measure

log = logging.getLogger(__name__)
ENOUGH = 0.95
"""Of the largest ΔL: what is beyond needs more components for next to nothing."""
RANDOM = ("random", "matched random")
"""Controls that the effect of a circuit is compared with."""
Given = Circuit | WeightMask | Condition
"""What is tested without having been selected here."""
Masks = Mapping[str, WeightMask | None]
"""Masks of the same q and p from other examples, by the name of their control."""


@dataclass(frozen=True, eq=False)
class Circuits:
    """What is tested.

    Attributes:
        circuits: one condition a component type.
        controls: conditions with labels `component` and `control`.
        sweep: one row a size that was tried on development prompts: component, size, label, ΔL by role, chosen; of weights
            `recipe_overlap`, the Jaccard index with the global mask of the same q and p (else, of the released one).
    """

    circuits: tuple[Condition, ...]
    controls: tuple[Condition, ...] = ()
    sweep: pd.DataFrame = field(default_factory=pd.DataFrame)


def given_circuits(model: HookedModel, circuit: Given | Mapping[str, Given] | None) -> tuple[Condition, ...]:
    """Return a condition for each circuit or condition that the user gives, by name; none where they are to be selected."""
    if circuit is None:
        return ()
    if isinstance(circuit, Condition):
        circuit = {circuit.name: circuit}
    named = {"circuit": circuit} if isinstance(circuit, Circuit | WeightMask) else circuit
    if not named or BASELINE in named:
        raise HarmcircuitsError(
            f"{'the name baseline is the unablated model' if named else 'no circuit was given'}: give a Circuit, circuits by "
            "other names, or None to select them from training responses."
        )
    conditions = []
    for name, each in named.items():
        condition = each if isinstance(each, Condition) else Condition(name, each)
        if condition.ablation is None or not condition.size:
            raise HarmcircuitsError(f"the circuit {name!r} has no components: without it nothing would change. Leave it out.")
        condition.ablation.check(model)
        conditions.append(replace(condition, name=name, labels={**condition.labels, "component": name}))
    return tuple(conditions)


def choose_circuits(material: Material) -> Circuits:
    """Select circuits of every component type, each of the smallest size that has nearly the largest effect at a bounded cost.

    Among the sizes whose ΔL on unrelated benign development responses (matched ones, where there are no others) is at most
    `max_benign_increase`, the smallest is taken whose ΔL on harmful ones reaches 95 % of the largest; where none is within the
    bound, the size with the smallest benign ΔL. Without development prompts, the first size.
    """
    masks = {mask: (controls, overlap) for mask, controls, overlap in weight_circuits(material)}
    candidates = [*component_circuits(material), *masks]
    if not candidates:
        raise HarmcircuitsError(
            "no circuit of any asked size can be selected: raise the fractions of components, or protect fewer (settings=)."
        )
    rows = [(condition.labels["component"], condition.name, condition.size) for condition in candidates]
    sweep = pd.DataFrame(rows, columns=["component", "label", "size"])
    if masks:
        sweep["recipe_overlap"] = [masks[condition][1] if condition in masks else nan for condition in candidates]
    if prompts := material.development_prompts:
        reading = Loss(material.respond(prompts))
        outcomes = measure(material.model, [Condition(BASELINE), *candidates], [reading], cache=material.cache)
        increase = np.stack([outcomes.change(condition.name, "loss") for condition in candidates])
        for role in dict.fromkeys(prompt.role for prompt in prompts):
            sweep[role] = increase[:, [prompt.role == role for prompt in prompts]].mean(1)
        cost, bound = "far" if "far" in sweep else "near", material.settings.max_benign_increase
        chosen = [_best_size(sizes, sizes[cost], bound) for _, sizes in sweep.groupby("component", sort=False)]
        sweep["chosen"] = sweep.index.isin(chosen)
    else:
        chosen, sweep = [*sweep.drop_duplicates("component").index], pd.DataFrame()
    circuits: list[Condition] = []
    controls: list[Condition] = []
    for condition in (candidates[index] for index in chosen):
        component = condition.labels["component"]
        circuits.append(Condition(component, condition.ablation, labels={"component": component, "size": condition.name}))
        controls += controls_of(material, circuits[-1], masks[condition][0] if condition in masks else {})
    return Circuits(tuple(circuits), tuple(controls), sweep)


def _best_size(sizes: pd.DataFrame, cost: "pd.Series[float]", bound: float) -> int:
    """Index of the size that is taken."""
    within = sizes[cost <= bound]
    if within.empty:
        return int(cost.index[int(cost.argmin())])
    largest = within["harmful"].max()
    enough = within[within["harmful"] >= min(ENOUGH * largest, largest)]  # of a negative one, itself
    return int(enough.index[int(enough["size"].argmin())])


def component_counts(material: Material) -> dict[str, list[int]]:
    """Return how many heads and neurons the asked fractions are."""
    settings, shape = material.settings, geometry(material.model)
    counts = lambda fractions, total: [max(1, round(fraction * total)) for fraction in fractions]
    heads = counts(settings.head_fractions, shape.n_layers * shape.n_heads)
    neurons = counts(settings.neuron_fractions, shape.n_neurons)
    return {kind: sizes for kind, sizes in (("heads", heads), ("neurons", neurons)) if kind in settings.components}


def component_circuits(material: Material) -> list[Condition]:
    """Return circuits of heads and of neurons, one a size of the settings; a size that cannot be selected is left out."""
    conditions = []
    for kind, counts in component_counts(material).items():
        for count in sorted({*counts}):
            try:
                circuit = material.recipe.circuit(**{kind: count})
            except SelectionError as error:
                log.warning("no circuit of %d %s: %s", count, kind, error)
                continue
            conditions.append(Condition(f"{count} {kind}", circuit, labels={"component": kind}))
    return conditions


def weight_circuits(material: Material, *, controls: bool = True) -> Iterator[tuple[Condition, Masks, float]]:
    """Yield each mask of the asked q and p, the masks of its controls, and its overlap with the other recipe's."""
    if "weights" not in material.settings.components:
        return
    settings, (harmful, benign) = material.settings, material.train_examples
    sets: list[ExampleSet] = [(half, None) for kind in (harmful, benign) for half in halves(kind, settings.seed)]
    selections = [WeightSelection(q, p, settings.recipe, HARMFUL, BENIGN) for q, p in settings.weight_fractions]
    other = "global" if settings.recipe == "released" else "released"
    others = lambda selection: {"other recipe": replace(selection, recipe=other)} | weight_controls(selection)
    variants = [{"": selection} | (others(selection) if controls else {}) for selection in selections]
    masks = iter(cached_masks(material, sets, [selection for named in variants for selection in named.values()]))
    for selection, named in zip(selections, variants, strict=True):
        drawn = {name: next(masks) for name in named}
        mask, twin = drawn.pop(""), drawn.pop("other recipe", None)
        if mask is None:
            log.warning("q=%g and p=%g select no weight", selection.q, selection.p)
            continue
        condition = Condition(weights_name(selection.q, selection.p), mask, labels={"component": "weights"})
        yield condition, drawn, 0.0 if twin is None else mask.jaccard(twin)


def weights_name(q: float, p: float) -> str:
    return f"weights q={q:g} p={p:g}"


def cached_masks(material: Material, sets: Sequence[ExampleSet], every: Sequence[WeightSelection]) -> list[WeightMask | None]:
    """All masks from one data pass; each in a file of its own, empty where nothing was selected."""
    made: list[WeightMask | None] = []

    def make(at: int) -> WeightMask:
        if not made:
            made.extend(weight_masks(material.model, sets, every))
        return made[at] or WeightMask(shapes={matrix.name: matrix.shape for matrix in matrices(material.model)})

    about = [[list(examples), metric] for examples, metric in sets]
    masks = [
        material.cache.file("mask", [about, selection], partial(make, at), load=WeightMask.load, save=WeightMask.save)
        for at, selection in enumerate(every)
    ]
    return [mask if len(mask) else None for mask in masks]


def controls_of(
    material: Material, condition: Condition, masks: Mapping[str, WeightMask | None], *, kinds: Collection[str] = CONTROLS
) -> list[Condition]:
    """Return the controls of a circuit: of heads and neurons by the registry, of weights random ones and the given masks.

    Without training requests there are random ones alone. `kinds`: names of those that are wanted, all by default.
    """
    seeds, ablation = range(material.settings.random_draws), condition.ablation
    controls: dict[tuple[str, int | None], Intervention] = {}
    if isinstance(ablation, Circuit) and material.train is not None:
        for control in (name for name in CONTROLS if name in kinds):
            for seed in seeds if control in DRAWN else (None,):
                try:
                    controls[control, seed] = CONTROLS[control](material.recipe, ablation, seed or 0)
                except SelectionError as error:
                    log.warning("%s: no control %s: %s", condition.name, control, error)
    elif isinstance(ablation, Circuit):
        controls = {("random", seed): ablation.random_like(material.model, seed=seed) for seed in seeds}
    elif isinstance(ablation, WeightMask):
        if "random" in kinds:
            controls = {("random", seed): ablation.random_like(seed=seed) for seed in seeds}
        controls |= {(control, None): mask for control, mask in masks.items()}
        if material.train is not None and "aimed at recognition" in kinds:
            sets: list[ExampleSet] = [(material.recognition_prompts, material.recognition_metric)]
            unprotected = WeightSelection(ablation.fraction, 0, protect=(0,))
            controls["aimed at recognition", None] = cached_masks(material, sets, [unprotected])[0]
    name = lambda control, seed: f"{condition.name}: {control}" + ("" if seed is None else f" {seed}")
    labels = {"component": condition.labels["component"]}
    return [
        Condition(name(control, seed), other, labels=labels | {"control": control})
        for (control, seed), other in controls.items()
        if other is not None
    ]

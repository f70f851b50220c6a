"""Circuits and their sizes: chosen on development prompts by a short sweep, each with its controls."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from ..ablation.ablate import BASELINE, Condition
from ..attribution.weight_gradients import ExampleSet
from ..circuits import Circuit, WeightMask
from ..circuits.controls import BENIGN, CONTROLS, DRAWN, HARMFUL, halves, weight_controls
from ..circuits.selection import SelectionError, WeightSelection, weight_masks
from ..models.matrices import matrices
from ..models.protocol import HookedModel, geometry
from ..readings.loss import Loss
from .material import ExperimentError, Material
from .measure import measure

log = logging.getLogger(__name__)
ENOUGH = 0.95
"""Of the largest ΔL: what is beyond needs more components for next to nothing."""


@dataclass(frozen=True, eq=False)
class Circuits:
    """What is tested.

    Attributes:
        circuits: one condition a component type.
        controls: conditions with labels `component` and `control`.
        sweep: one row a size that was tried on development prompts: component, size, label, ΔL by role, chosen.
    """

    circuits: tuple[Condition, ...]
    controls: tuple[Condition, ...]
    sweep: pd.DataFrame


MaskControls = Mapping[str, WeightMask | None]
"""Masks of the same q and p by other examples, by control."""


def given_circuits(
    model: HookedModel, circuit: Circuit | WeightMask | Mapping[str, Circuit | WeightMask] | None
) -> tuple[Condition, ...]:
    """Conditions of circuits that the user gives, by name; none where they are to be selected.

    Raises:
        ExperimentError: no circuit, one without components, or the name "baseline".
        CircuitError, MaskError: a component that the model does not have.
    """
    if circuit is None:
        return ()
    named = {"circuit": circuit} if isinstance(circuit, Circuit | WeightMask) else circuit
    if not named or BASELINE in named:
        raise ExperimentError(
            f"{'the name baseline is the unablated model' if named else 'no circuit was given'}: give a Circuit, circuits by "
            "other names, or None to select them from training responses."
        )
    for name, own in named.items():
        if not len(own):
            raise ExperimentError(f"the circuit {name!r} has no components: without it nothing would change. Leave it out.")
        own.check(model)
    return tuple(Condition(name, own, labels={"component": name}) for name, own in named.items())


def choose_circuits(material: Material) -> Circuits:
    """Select circuits of every component type, each of the smallest size that has nearly the largest effect at a bounded cost.

    Among the sizes whose ΔL on unrelated benign development responses (matched ones, where there are no others) is at most
    `max_benign_increase`, the smallest is taken whose ΔL on harmful ones reaches 95 % of the largest; where none is within the
    bound, the size with the smallest benign ΔL.
    """
    candidates, masks = _candidates(material)
    if not candidates:
        raise ExperimentError(
            "no circuit of any asked size can be selected: raise the fractions of components, or protect fewer (settings=)."
        )
    prompts = material.development_prompts or material.prompts[:0]
    if not prompts:
        first = {condition.labels["component"]: condition for condition in reversed(candidates)}
        return _with_controls(material, tuple(first.values()), masks, pd.DataFrame())
    reading = Loss(material.respond(prompts))
    found = measure(material.model, [Condition(BASELINE), *candidates], [reading], cache=material.cache)
    rows = []
    for condition in candidates:
        rise = found.change(condition.name, "loss")
        by_role = {
            role: float(rise[[prompt.role == role for prompt in prompts]].mean())
            for role in ("harmful", "near", "far")
            if any(prompt.role == role for prompt in prompts)
        }
        row = {"component": condition.labels["component"], "label": condition.name, "size": condition.size, **by_role}
        rows.append(row)
    sweep = pd.DataFrame(rows)
    cost = "far" if "far" in sweep else "near"
    bound = material.settings.max_benign_increase
    chosen = [_chosen(own, own[cost], bound) for _, own in sweep.groupby("component", sort=False)]
    sweep["chosen"] = sweep.index.isin(chosen)
    return _with_controls(material, tuple(candidates[at] for at in chosen), masks, sweep)


def _chosen(sizes: pd.DataFrame, cost: "pd.Series[float]", bound: float) -> int:
    """Index of the size that is taken."""
    within = sizes[cost <= bound]
    if not len(within):
        return int(cost.index[int(cost.argmin())])
    enough = within[within["harmful"] >= ENOUGH * within["harmful"].max()]
    best = enough if len(enough) else within[within["harmful"] == within["harmful"].max()]
    return int(best.index[int(best["size"].argmin())])


def _candidates(material: Material) -> tuple[list[Condition], dict[str, MaskControls]]:
    """Every size of every component type; and the controls of each mask, by the name of its condition."""
    weights = dict(_weight_candidates(material)) if "weights" in material.settings.components else {}
    return [*component_circuits(material), *weights], {mask.name: controls for mask, controls in weights.items()}


def component_circuits(material: Material) -> list[Condition]:
    """Circuits of heads and of neurons, one a size of the settings; a size that cannot be selected is left out."""
    settings, shape = material.settings, geometry(material.model)
    sizes = {
        "heads": (settings.head_fractions, shape.n_layers * shape.n_heads),
        "neurons": (settings.neuron_fractions, shape.n_neurons),
    }
    found: list[Condition] = []
    for kind, (fractions, total) in sizes.items():
        if kind not in settings.components:
            continue
        for count in sorted({max(1, round(fraction * total)) for fraction in fractions}):
            try:
                circuit = material.recipe.circuit(**{kind: count})
            except SelectionError as error:
                log.warning("no circuit of %d %s: %s", count, kind, error)
                continue
            found.append(Condition(f"{count} {kind}", circuit, labels={"component": kind}))
    return found


def _weight_candidates(material: Material) -> Iterator[tuple[Condition, MaskControls]]:
    settings, (harmful, benign) = material.settings, material.train_examples
    sets: list[ExampleSet] = [(half, None) for own in (harmful, benign) for half in halves(own, settings.seed)]
    selections = [WeightSelection(q, p, HARMFUL, BENIGN) for q, p in settings.weight_fractions]
    every = [variant for selection in selections for variant in (selection, *weight_controls(selection).values())]
    masks = iter(cached_masks(material, sets, every))
    for selection in selections:
        mask, controls = next(masks), {name: next(masks) for name in weight_controls(selection)}
        if mask is None:
            log.warning("q=%g and p=%g select no weight", selection.q, selection.p)
            continue
        yield Condition(f"weights q={selection.q:g} p={selection.p:g}", mask, labels={"component": "weights"}), controls


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


def recognition_mask(material: Material, fraction: float) -> WeightMask | None:
    """Of each matrix the fraction of weights with the largest A for recognition, nothing protected."""
    asked: list[ExampleSet] = [(material.asked_prompts, material.recognition_metric)]
    return cached_masks(material, asked, [WeightSelection(fraction, 0, protect=(0,))])[0]


def _with_controls(
    material: Material, chosen: tuple[Condition, ...], masks: Mapping[str, MaskControls], sweep: pd.DataFrame
) -> Circuits:
    circuits = []
    controls: list[Condition] = []
    for condition in chosen:
        component = condition.labels["component"]
        circuits.append(Condition(component, condition.ablation, labels={"component": component, "size": condition.name}))
        controls += controls_of(material, circuits[-1], masks.get(condition.name, {}))
    return Circuits(tuple(circuits), tuple(controls), sweep)


def controls_of(material: Material, condition: Condition, masks: MaskControls) -> list[Condition]:
    """Return the controls of a circuit: of heads and neurons by the registry, of weights random ones and the given masks.

    Without training requests there are random ones alone.
    """
    made: list[tuple[str, str, Circuit | WeightMask | None]] = []
    seeds = range(material.settings.random_draws)
    if isinstance(condition.ablation, WeightMask):
        made += [("random", f"random {seed}", condition.ablation.random_like(seed=seed)) for seed in seeds]
        made += [(control, control, mask) for control, mask in masks.items()]
        if material.train is not None:
            made.append(
                ("aimed at recognition", "aimed at recognition", recognition_mask(material, condition.ablation.fraction))
            )
    elif isinstance(condition.ablation, Circuit) and material.train is None:
        made += [("random", f"random {seed}", condition.ablation.random_like(material.model, seed=seed)) for seed in seeds]
    elif isinstance(condition.ablation, Circuit):
        for control, make in CONTROLS.items():
            for seed in seeds if control in DRAWN else range(1):
                try:
                    label = f"{control} {seed}" if control in DRAWN else control
                    made.append((control, label, make(material.recipe, condition.ablation, seed)))
                except SelectionError as error:
                    log.warning("%s: no control %s: %s", condition.name, control, error)
    labels = {"component": condition.labels["component"]}
    return [
        Condition(f"{condition.name}: {label}", ablation, labels=labels | {"control": control})
        for control, label, ablation in made
        if ablation is not None
    ]

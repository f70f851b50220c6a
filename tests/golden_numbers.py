"""The golden numbers: scores, circuits, masks, losses, exported logits and the main job's numbers, of two small models.

    make golden        # writes tests/golden/ anew: a commit that does so says which numbers moved, and why

The models are a tiny random Llama and the planted model. One file serves both TransformerLens lines and both classes of models.
"""

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import harmcircuits as hc
from harmcircuits.ablation.ablate import BASELINE
from harmcircuits.experiment.circuits import choose_circuits
from harmcircuits.experiment.dissociation import decision, evidence
from harmcircuits.experiment.effects import Effects
from harmcircuits.experiment.material import Material

FOLDER = Path(__file__).parent / "golden"
MODELS = ("tiny", "planted")
PROTECT = {"heads": 0.25, "neurons": 0.1}
MEASURES = ("loss", "recognition", "bias", "many_shot", "probe", "refused", "refusal")
"""Measures whose means are kept, by condition and role."""


def make_model(name: str, folder: Path, *, hooked: bool = False) -> tuple[Any, list[Any], list[Any], Any]:
    """The model, harmful and benign examples, and triples in three splits."""
    if name == "planted":
        organism = hc.organisms.planted(0, hooked=hooked)
        return organism.model, organism.harmful, organism.benign, organism.prompts.split(seed=0)
    from tiny import tiny_bridge
    from triples import DEVELOPMENT, TEST, TRAIN
    from written import written

    model = tiny_bridge(folder / "tiny", hooked=hooked)
    examples = written(model.tokenizer)
    return model, examples[:2], examples[2:], (TRAIN, DEVELOPMENT, TEST)


def golden_numbers(name: str, folder: Path, *, hooked: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that is compared: tensors (to 1e-5), and circuits, masks and the main job's numbers as JSON."""
    model, harmful, benign, splits = make_model(name, folder, hooked=hooked)
    A, B = hc.attribute(model, harmful), hc.attribute(model, benign)
    W = hc.attribute_weights(model, harmful, benign=benign)
    circuit = hc.select(A, protect=B, heads=2, neurons=6, protect_fraction=PROTECT)
    mask = hc.select(W, q=0.01, p=0.05)
    tensors = {"heads": A.heads, "neurons": A.neurons, "benign heads": B.heads, "benign neurons": B.neurons}
    for matrix, scores in W.signed.items():
        tensors |= {f"{matrix} A rows": scores.sum(1), f"{matrix} A columns": scores.sum(0)}
        tensors |= {f"{matrix} U rows": W.absolute[matrix].sum(1), f"{matrix} U columns": W.absolute[matrix].sum(0)}
    examples = [*harmful, *benign]
    methods: dict[str, dict[str, Any]] = {"zero": {}, "scale": {"alpha": 0.5}, "mean": {"reference": benign}}
    for method, options in methods.items():
        with hc.ablated(model, circuit, method=method, **options):  # type: ignore[arg-type]
            tensors[f"loss, circuit, {method}"] = hc.loss(model, examples)
    swept = hc.sweep(model, {"baseline": None, "circuit": circuit, "mask": mask}, examples)
    tensors["loss, swept"] = torch.tensor(swept.to_numpy().T)
    tokens = torch.arange(1, 13)[None]
    with torch.no_grad(), hc.ablated(model, [circuit, mask]):
        tensors["ablated logits"] = model(tokens)[0]
    if not hooked:  # a HookedTransformer holds no transformers model to export
        hc.export(model, [circuit, mask], folder / "exported")
        exported = AutoModelForCausalLM.from_pretrained(folder / "exported", dtype=torch.float32).eval()
        with torch.no_grad():
            tensors["exported logits"] = exported(tokens).logits[0]
    found = {
        "circuit": [sorted(circuit.heads), sorted(circuit.neurons)],
        "mask": {matrix: sorted(indices.tolist()) for matrix, indices in mask.indices.items()},
        **dissociate_numbers(model, splits),
    }
    return {key: value.detach().float().contiguous().clone() for key, value in tensors.items()}, json.loads(json.dumps(found))


def dissociate_numbers(model: Any, splits: Any) -> dict[str, Any]:
    """The main job's answers, means of outcomes by condition and role, and effect sizes with their intervals.

    Step by step: `dissociate` ends after the baseline where a model recognises nothing, as the random one.
    """
    from triples import RUN

    train, development, test = splits
    settings = replace(RUN, train_prompts=16, development_prompts=8, test_prompts=12)
    material = Material(model, test, train, development, settings)
    made = choose_circuits(material)
    plan = dict.fromkeys([hc.Condition(BASELINE), *made.circuits], material.readings)
    plan |= dict.fromkeys(made.controls, material.control_readings)
    outcomes = hc.measure(model, plan)
    effects = Effects(outcomes, material.prompts, draws=settings.bootstrap_draws)
    kept = outcomes.frame[outcomes.frame["measure"].isin(MEASURES)]
    roles = [prompt.role for prompt in material.prompts]
    means = kept.assign(role=[roles[item] for item in kept["item"]]).groupby(["condition", "measure", "role"], sort=False)
    found = {
        f"{condition.name} | {role}": evidence(effects, condition, made, role, reading=material.primary)
        for condition in made.circuits
        for role in ("near", "far")
    }
    rule = decision(settings)
    return {
        "verdict": {key: rule(own).answer for key, own in found.items()},
        "outcomes": {" | ".join(key): value for key, value in means["value"].mean().items()},  # type: ignore[arg-type]
        "estimates": {
            f"{key} | {name}": [own.value, own.low, own.high] for key, each in found.items() for name, own in each.items()
        },
    }


def read_golden(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `make golden` wrote."""
    return load_file(FOLDER / f"{name}.safetensors"), json.loads((FOLDER / f"{name}.json").read_text())


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HARMCIRCUITS_CACHE"] = folder
            tensors, found = golden_numbers(name, Path(folder))
        save_file(tensors, FOLDER / f"{name}.safetensors")
        (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

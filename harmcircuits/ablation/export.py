"""Pruned models: weights of a model in memory set to zero for good, and ordinary transformers folders, which load anywhere."""

import json
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path

import torch

from ..circuits import Circuit, MaskError, Provenance, WeightMask, outgoing, provenance, read_provenance
from ..models.export import save_plain
from ..models.matrices import base_hash, matrices
from ..models.protocol import HookedModel, has_hooks
from ..store import StoreError, atomic_folder, write_text
from .ablate import Ablation, AblationError, ablated, masks_in_force, parts_of
from .generate import in_weights

_CARD = """\
---
library_name: transformers
{base}tags:
- harmcircuits
- pruned
---

# {title}, pruned

At zero in this model: {what}.
Pruned with harmcircuits, after [arXiv 2604.09544](https://arxiv.org/abs/2604.09544). Everything else is the base model, whose
licence and terms apply.

| | |
|---|---|
| base model | {title} |
| SHA-256 of its decoder matrices | `{hash}` |
| data | {data} |
| scores | {scores} |
| seed | {seed} |
| versions | {versions} |

| layer | matrix | weights at zero | of the matrix |
|---|---|---|---|
{rows}

## Results

{results}

## Use

A research artefact: a causal test of what a circuit does. It is no safety measure. What was measured holds for the prompts it
was measured on; the model may still write harmful text, and may write other text worse than its base.
"""


def export(
    model: HookedModel,
    circuit: Ablation | Sequence[Ablation],
    folder: str | Path,
    *,
    origin: Provenance | None = None,
) -> Path:
    """Write the model with the weights of `circuit` at zero as a transformers folder; the model itself stays as it is.

        hc.export(model, circuit, "pruned", origin=hc.provenance(model, data="built-in triples, train"))
        AutoModelForCausalLM.from_pretrained("pruned")

    The folder holds safetensors, configuration, tokenizer with its chat template, `circuit-0.json` or `mask-0.safetensors`
    (what was pruned, which `hc.prune` can apply to the base model), and a model card. Logits are those of the ablated model:
    exactly with eager attention, but for the order of sums in fused matrices.

    Args:
        circuit: heads and neurons, single weights, or several of them.
        folder: a new one; it appears when it is complete.
        origin: the card's data, scores and results (`hc.provenance`); None: the model's name and hash alone.

    Raises:
        AblationError: nothing to prune, no ablation, an origin of another model; or the model is ablated or has hooks now.
        CircuitError, MaskError: a component or matrix that the model does not have.
        ModelError: the model is no bridge around a transformers model.
        StoreError: the folder exists already, or cannot be written.
    """
    target, parts = Path(folder), [part for part in parts_of(circuit) if part is not None]
    if target.exists():
        raise StoreError(f"{target} exists already: choose another folder, or remove it.")
    if not any(len(part) for part in parts):
        raise AblationError("nothing to prune: the circuit is empty, and the folder would hold the base model")
    if has_hooks(model) or masks_in_force(model):
        raise AblationError("the model is ablated or has hooks now: leave hc.ablated, and give all that is to be off to export")
    about = origin or provenance(model)
    if origin is not None and about.base != base_hash(model):
        raise AblationError(f"origin= is of other weights ({about.base}) than this model's: make it by hc.provenance(model, …)")
    masks = in_weights(model, parts)
    with ablated(model, masks), atomic_folder(target) as new:
        save_plain(model, new)
        for index, part in enumerate(parts):
            name = f"circuit-{index}.json" if isinstance(part, Circuit) else f"mask-{index}.safetensors"
            part.save(new / name, provenance=about)
        write_text(new / "README.md", _model_card(parts, reduce(or_, masks), about))
    return target


def _model_card(parts: Sequence[Circuit | WeightMask], mask: WeightMask, origin: Provenance) -> str:
    """Markdown with the front matter that model hubs read."""
    circuit = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
    single = sum(len(part) for part in parts if isinstance(part, WeightMask))
    counts = {"attention head": len(circuit.heads), "MLP neuron": len(circuit.neurons), "single weight": single}
    what = " and ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count)
    table = mask.table().query("weights > 0")
    rows = [f"| {row.layer} | {row.kind} | {row.weights} | {row.fraction:.3%} |" for row in table.itertuples()]
    return _CARD.format(
        base=f"base_model: {json.dumps(origin.model)}\n" if origin.model else "",
        title=origin.model or "a model without a name",
        what=f"{what} ({len(mask)} weights, {mask.fraction:.3%} of those in the decoder's matrices)",
        hash=origin.base,
        data=origin.data or "not stated",
        scores=origin.scores or "not stated",
        seed="not stated" if origin.seed is None else origin.seed,
        versions=", ".join(f"{name} {number}" for name, number in origin.versions.items()) or "not stated",
        rows="\n".join(rows),
        results=f"```json\n{json.dumps(dict(origin.results), indent=2)}\n```" if origin.results else "None were given.",
    )


@torch.no_grad()
def prune(model: HookedModel, circuit: Circuit | WeightMask | str | Path) -> int:
    """Set the weights of `circuit` to zero in place, and for good; return how many weights that are.

        hc.prune(hc.load_model("base"), "mask.safetensors")  # the base model, pruned

    Args:
        circuit: a mask; a circuit, whose outgoing weights are meant (`outgoing`); or the file of either, saved with its origin
            (`save(path, provenance=hc.provenance(model))`), which is applied to that model alone.

    Raises:
        MaskError: a file for another model, or one that does not say for which; a matrix that the model does not have.
        CircuitError: a component that the model does not have.
        ModelError: the model's matrices cannot be found.
        StoreError: the file is missing or damaged.
    """
    if isinstance(circuit, str | Path):
        origin, base = read_provenance(circuit), base_hash(model)
        if origin is None:
            raise MaskError(
                f"{circuit} does not say which model it is for. If you know, load it (Circuit.load, WeightMask.load) and give "
                "the object; to say so in the file, save it with provenance=hc.provenance(model)."
            )
        if origin.base != base:
            raise MaskError(
                f"{circuit} is for the model {origin.model or 'without a name'} with the weights {origin.base}, and these are "
                f"{base}: load that model, unprocessed, not pruned already, and in the dtype in which the file was made."
            )
        circuit = WeightMask.load(circuit) if Path(circuit).suffix == ".safetensors" else Circuit.load(circuit)
    mask = outgoing(model, circuit) if isinstance(circuit, Circuit) else circuit
    mask.check(model)
    for matrix in matrices(model):
        if matrix.name in mask.indices:
            matrix.write(mask.indices[matrix.name], torch.zeros(()))
    return len(mask)

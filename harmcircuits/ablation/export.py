"""Pruned models: ordinary transformers folders, which load anywhere."""

import json
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path

from .._version import __version__
from ..circuits import Circuit, WeightMask
from ..models.export import save_plain
from ..models.model_key import model_hash
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

At zero in this model: {what}, {weights} weights, {fraction:.3%} of those in the decoder's matrices. Pruned with
harmcircuits {version}, after [arXiv 2604.09544](https://arxiv.org/abs/2604.09544). Everything else is the base model, whose
licence and terms apply (SHA-256 of its parameters: `{hash}`).

| layer | matrix | weights at zero | of the matrix |
|---|---|---|---|
{rows}

A research artefact: a causal test of what a circuit does. It is no safety measure: the model may still write harmful text, and
may write other text worse than its base.
"""


def export(model: HookedModel, circuit: Ablation | Sequence[Ablation], folder: str | Path, *, name: str = "") -> Path:
    """Write the model with the weights of `circuit` at zero as a transformers folder; the model itself stays as it is.

        hc.export(model, circuit, "pruned")
        AutoModelForCausalLM.from_pretrained("pruned")

    The folder holds safetensors, configuration, tokenizer with its chat template, `circuit-0.json` or `mask-0.safetensors`
    (what was pruned), and a model card. Logits are those of the ablated model: exactly with eager attention, but for the order
    of sums in fused matrices.

    Args:
        circuit: heads and neurons, single weights, or several of them.
        folder: a new one; it appears when it is complete.
        name: what the card calls the base model; by default the name in its configuration.

    Raises:
        AblationError: nothing to prune, no ablation; or the model is ablated or has hooks now.
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
    masks, digest = in_weights(model, parts), model_hash(model)
    with ablated(model, masks), atomic_folder(target) as new:
        save_plain(model, new)
        for index, part in enumerate(parts):
            part.save(new / (f"circuit-{index}.json" if isinstance(part, Circuit) else f"mask-{index}.safetensors"))
        base = name or str(getattr(model.cfg, "model_name", "") or "")
        write_text(new / "README.md", _model_card(parts, reduce(or_, masks), base, digest))
    return target


def _model_card(parts: Sequence[Circuit | WeightMask], mask: WeightMask, base: str, digest: str) -> str:
    """Markdown with the front matter that model hubs read."""
    circuit = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
    single = sum(len(part) for part in parts if isinstance(part, WeightMask))
    counts = {"attention head": len(circuit.heads), "MLP neuron": len(circuit.neurons), "single weight": single}
    table = mask.table().query("weights > 0")
    return _CARD.format(
        base=f"base_model: {json.dumps(base)}\n" if base else "",
        title=base or "a model without a name",
        what=" and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count),
        weights=len(mask),
        fraction=mask.fraction,
        version=__version__,
        hash=digest,
        rows="\n".join(f"| {row.layer} | {row.kind} | {row.weights} | {row.fraction:.3%} |" for row in table.itertuples()),
    )

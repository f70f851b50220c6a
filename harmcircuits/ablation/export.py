"""A model without its circuit as an ordinary transformers folder, which loads anywhere."""

from collections.abc import Sequence
from pathlib import Path

from ..circuits import Circuit, Provenance, WeightMask, provenance
from ..models.export import save_plain
from ..models.matrices import base_hash
from ..models.protocol import HookedModel, has_hooks
from ..store import StoreError, atomic_folder, write_text
from .ablate import Ablation, AblationError, ablated, masks_in_force, parts_of
from .card import model_card
from .generate import in_weights


def export(
    model: HookedModel,
    circuit: Ablation | Sequence[Ablation],
    folder: str | Path,
    *,
    origin: Provenance | None = None,
) -> Path:
    """Writes the model with the weights of `circuit` at zero as a transformers folder; the model itself stays as it is.

        hc.export(model, circuit, "pruned", origin=hc.provenance(model, data="built-in triples, train"))
        AutoModelForCausalLM.from_pretrained("pruned")

    The folder holds safetensors, configuration, tokenizer with its chat template, `circuit-0.json` or `mask-0.safetensors`
    (what was pruned, which `hc.prune` can apply to the base model), and a model card that says what was pruned, from which data
    and scores, and with which results. Logits are those of the ablated model: exactly with eager attention, but for the order
    of sums in fused matrices. Components are only ever switched off: nothing here amplifies.

    Args:
        circuit: heads and neurons, single weights, or several of them.
        folder: a new one; it appears when it is complete.
        origin: what the card says of data, scores and results (`hc.provenance`); None: the model's name and hash alone.

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
        raise AblationError(
            "the model is ablated or has hooks of yours now, which the folder could not say of itself: leave hc.ablated, and "
            "give all that is to be off to export"
        )
    about = origin or provenance(model)
    if origin is not None and about.base != base_hash(model):
        raise AblationError(
            f"origin= is of other weights ({about.base}) than this model's: hc.provenance(model, …) makes its own"
        )
    masks = in_weights(model, parts)
    with ablated(model, masks), atomic_folder(target) as new:
        save_plain(model, new)
        for at, part in enumerate(parts):
            _save(part, new, at, about)
        write_text(new / "README.md", model_card(parts, masks, about))
    return target


def _save(part: Circuit | WeightMask, folder: Path, at: int, about: Provenance) -> None:
    name = f"circuit-{at}.json" if isinstance(part, Circuit) else f"mask-{at}.safetensors"
    part.save(folder / name, provenance=about)

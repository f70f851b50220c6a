"""Ablations put into the weights, so that plain transformers generates without the circuit, or loads a model without it."""

import json
import logging
from collections.abc import Sequence
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .._version import __version__
from ..circuits import Circuit, WeightMask, outgoing
from ..data import Example, Prompts, as_prompts
from ..data.elicit import as_examples, elicit, sample, tokenize_prompts, write_plain
from ..errors import HarmcircuitsError
from ..models.export import is_plain, plain_model, save_plain
from ..models.model_key import model_hash
from ..models.protocol import HookedModel, has_hooks, on_several_devices, pad_id
from ..store import atomic_folder, write_text
from .ablate import Ablation, Hooks, Intervention, Method, ablated, parts_of
from .in_place import masks_in_force

log = logging.getLogger(__name__)
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

A research artefact: a causal test of what a circuit does. It is no safety measure: the model may still write harmful text, and
may write other text worse than its base.
"""


def generate(
    model: HookedModel,
    prompts: Prompts,
    circuit: Intervention | Sequence[Intervention] = None,
    *,
    method: Method = "zero",
    alpha: float | None = None,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 48,
    attention: str = "eager",
    progress: bool = False,
) -> list[Example]:
    """Return one response a prompt under an ablation: the same tokens as `elicit` inside `ablated`, and faster.

    The ablation is put into the weights (of a component, its outgoing ones), and a transformers model of these weights
    generates, with the same random numbers. Nothing is cached on disk. A model with hooks of yours, and a `HookedTransformer`,
    use `elicit` inside `ablated`.

        hc.generate(model, test.harmful, circuit, temperature=0)
        hc.generate(model, "Name three birds.", circuit)[0].response

    Args:
        prompts: as in `elicit`: `hc.Prompt`s or requests as strings, one or several.
        circuit: as in `ablated`, and so are `method` ("zero" or "scale") and `alpha`; what follows is as in `elicit`.
        attention: of the transformers model: "eager", which is what the bridge computes, or "sdpa" (rounding differs, and with
            it a near tie now and then).

    Raises:
        HarmcircuitsError: see `ablated`; no prompts, or settings that make no sense.
    """
    if method not in ("zero", "scale"):
        raise HarmcircuitsError(f"method={method!r} cannot be put into weights: use hc.elicit inside hc.ablated")
    prompts = as_prompts(prompts)
    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    kinds = {type(part) for part in parts_of(circuit) if part is not None}
    hooked = has_hooks(model) or Hooks in kinds or (method == "scale" and len(kinds) > 1)
    if hooked or not is_plain(model) or on_several_devices(model):
        log.info("the model has hooks, is no bridge or lies on several devices, or both circuits and masks: writing with hooks")
        with ablated(model, circuit, method=method, alpha=alpha):
            return elicit(model, prompts, batch_size=batch_size, cache=False, progress=progress, **how)
    rows, settings = tokenize_prompts(model, prompts, **how)
    with (
        ablated(model, in_weights(model, circuit), method=method, alpha=alpha),
        tqdm(total=len(prompts), desc="generate", unit="response", disable=not progress) as bar,
    ):
        write = partial(write_plain, plain_model(model, attention=attention), pad_id(model))
        finished = lambda batch: bar.update(len(batch))
        written = sample(model, rows, batch_size=batch_size, write=write, finished=finished, **settings)
    return as_examples(model, prompts, written)


def in_weights(model: HookedModel, circuit: Intervention | Sequence[Intervention]) -> list[Intervention]:
    """Return the same without circuits: the weights that read their components."""
    return [outgoing(model, part) if isinstance(part, Circuit) else part for part in parts_of(circuit)]


def export(model: HookedModel, circuit: Ablation | Sequence[Ablation], folder: str | Path, *, name: str = "") -> Path:
    """Write the model with the weights of `circuit` at zero as a transformers folder; the model itself stays as it is.

        hc.export(model, circuit, "pruned")
        AutoModelForCausalLM.from_pretrained("pruned")

    It holds safetensors, configuration, tokenizer, `circuit-0.json` or `mask-0.safetensors` (what was pruned), and a card.
    Logits are those of the ablated model: exactly with eager attention, but for the order of sums in fused matrices.

    Args:
        folder: a new one; it appears when it is complete.
        name: what the card calls the base model; by default the name in its configuration.

    Raises:
        HarmcircuitsError: nothing to prune, no ablation; or the model is ablated or has hooks now; a component or matrix that
            the model does not have; the model is no bridge around a transformers model; the folder exists already, or cannot be
            written.
    """
    target, parts = Path(folder), [part for part in parts_of(circuit) if isinstance(part, Circuit | WeightMask)]
    if target.exists():
        raise HarmcircuitsError(f"{target} exists already: choose another folder, or remove it.")
    if len(parts) < sum(part is not None for part in parts_of(circuit)):
        raise HarmcircuitsError("hooks and checkpoints cannot be exported: give circuits and weight masks")
    if not any(len(part) for part in parts):
        raise HarmcircuitsError("nothing to prune: the circuit is empty, and the folder would hold the base model")
    if has_hooks(model) or masks_in_force(model):
        raise HarmcircuitsError(
            "the model is ablated or has hooks now: leave hc.ablated, and give all that is to be off to export"
        )
    masks = [outgoing(model, part) if isinstance(part, Circuit) else part for part in parts]
    digest = model_hash(model)
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
    return _CARD.format(
        base=f"base_model: {json.dumps(base)}\n" if base else "",
        title=base or "a model without a name",
        what=" and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count),
        weights=len(mask),
        fraction=mask.fraction,
        version=__version__,
        hash=digest,
    )

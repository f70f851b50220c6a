"""What a model writes under an ablation: the ablation is put into the weights, and transformers generates."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from tqdm.auto import tqdm

from ..circuits import Circuit, WeightMask, outgoing
from ..data import Example, Prompt
from ..data.elicit import as_examples, elicit, sample, tokenize_prompts, write_plain
from ..models.export import is_plain, plain_model
from ..models.protocol import HookedModel, has_hooks, on_several_devices, pad_id
from .ablate import Ablation, AblationError, Method, ablated, parts_of

log = logging.getLogger(__name__)


def generate(
    model: HookedModel,
    prompts: Sequence[Prompt],
    circuit: Ablation | Sequence[Ablation] = None,
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

    Args:
        circuit: as in `ablated`.
        method: "zero" or "scale".
        alpha: the factor of "scale".
        max_new_tokens: at most; as in `elicit`.
        temperature: as in `elicit`: 0 is greedy.
        seed: of the draws.
        batch_size: rows a batch.
        attention: of the transformers model: "eager", which is what the bridge computes, or "sdpa" (rounding differs, and with
            it a near tie now and then).

    Raises:
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
        ExampleError: no prompts, or settings that make no sense.
    """
    if method not in ("zero", "scale"):
        raise AblationError(f"method={method!r} cannot be put into weights: use hc.elicit inside hc.ablated")
    written_how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    kinds = {type(part) for part in parts_of(circuit) if part is not None}
    if not is_plain(model) or on_several_devices(model) or has_hooks(model) or (method == "scale" and len(kinds) > 1):
        log.info("the model has hooks, is no bridge or lies on several devices, or both circuits and masks: writing with hooks")
        with ablated(model, circuit, method=method, alpha=alpha):
            return elicit(model, prompts, batch_size=batch_size, cache=False, progress=progress, **written_how)
    rows, settings = tokenize_prompts(model, prompts, **written_how)
    with (
        ablated(model, in_weights(model, circuit), method=method, alpha=alpha),
        tqdm(total=len(prompts), desc="generate", unit="response", disable=not progress) as bar,
    ):
        write = partial(write_plain, plain_model(model, attention=attention), pad_id(model))
        finished = lambda batch: bar.update(len(batch))
        written = sample(model, rows, batch_size=batch_size, write=write, finished=finished, **settings)
    return as_examples(model, prompts, written)


def in_weights(model: HookedModel, circuit: Ablation | Sequence[Ablation]) -> list[WeightMask]:
    """Return the same ablation as masks: of a circuit, the weights that read its components."""
    parts = [part for part in parts_of(circuit) if part is not None]
    return [outgoing(model, part) if isinstance(part, Circuit) else part for part in parts]

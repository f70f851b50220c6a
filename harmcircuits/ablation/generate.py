"""What a model writes under an ablation: in the weights, by transformers' own generation; or many circuits in one batch."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from ..circuits import Circuit, WeightMask, outgoing
from ..data import Example, Prompt
from ..data.elicit import as_examples, elicit, lay_out, sample
from ..models.devices import dealt_out
from ..models.generation import Drawing, write_hooked, write_plain
from ..models.plain import is_plain, plain_model
from ..models.protocol import HookedModel, has_hooks, pad_id
from .changes import AblationError, Method, changes_of
from .hooks import Ablation, ablated, parts_of
from .rows import row_hooks

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
    """One response a prompt, written with `circuit` off: the same as `elicit` inside `ablated`, and faster.

    The ablation is in the weights (a component's outgoing ones), and a transformers model of these weights generates, with the
    same random numbers. Nothing is cached on disk. A model with hooks of yours, and a `HookedTransformer`, take the way of
    `elicit` inside `ablated`.

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
        ElicitError: no prompts, or settings that make no sense.
    """
    if method not in ("zero", "scale"):
        raise AblationError(f"method={method!r} cannot be put into weights: use hc.elicit inside hc.ablated")
    written_how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    kinds = {type(part) for part in parts_of(circuit) if part is not None}
    if not is_plain(model) or dealt_out(model) or has_hooks(model) or (method == "scale" and len(kinds) > 1):
        log.info("the model has hooks, is no bridge or lies on several devices, or both circuits and masks: writing with hooks")
        with ablated(model, circuit, method=method, alpha=alpha):
            return elicit(model, prompts, batch_size=batch_size, cache=False, progress=progress, **written_how)
    requests = lay_out(model, prompts, **written_how)
    with (
        ablated(model, in_weights(model, circuit), method=method, alpha=alpha),
        tqdm(total=len(prompts), desc="generate", unit="response", disable=not progress) as bar,
    ):
        write = partial(write_plain, plain_model(model, attention=attention), pad_id(model))
        finished = lambda batch: bar.update(len(batch))
        written = sample(model, requests.rows, batch_size=batch_size, write=write, finished=finished, **requests.settings)
    return as_examples(model, prompts, written)


def in_weights(model: HookedModel, circuit: Ablation | Sequence[Ablation]) -> list[WeightMask]:
    """The same ablation as masks: of a circuit, the weights that read its components."""
    parts = [part for part in parts_of(circuit) if part is not None]
    return [outgoing(model, part) if isinstance(part, Circuit) else part for part in parts]


def generate_each(
    model: HookedModel,
    prompts: Sequence[Prompt],
    circuits: Sequence[Circuit | None],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 48,
    progress: bool = False,
) -> list[list[Example]]:
    """For each circuit one response a prompt, circuits and prompts together as rows of the same batches.

    `seed` is of the random numbers that tokens are drawn with, the same under each circuit, and of "resample".

    The same as `elicit` inside `ablated` for each circuit; it pays where there are few prompts and many circuits, since a batch
    of few rows costs nearly as much as one of many.

    Raises:
        AblationError, CircuitError, ModelError: see `ablated`; no circuits, or masks, which rows of a batch cannot differ in.
        ElicitError: no prompts, or settings that make no sense.
    """
    if not circuits or not all(circuit is None or isinstance(circuit, Circuit) for circuit in parts_of(circuits)):
        raise AblationError("generate_each takes a list of circuits (None: the intact model); call hc.generate for each mask")
    requests = lay_out(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    how: dict[str, Any] = {"method": method, "alpha": alpha, "reference": reference, "seed": seed}
    changes = changes_of(model, [circuit or Circuit() for circuit in circuits], **how)
    n = len(requests.rows)  # row r is prompt r % n under circuit r // n

    def write(batch: Mapping[int, Sequence[int]], drawing: Drawing) -> Int[Tensor, "b step"]:
        own = [row // n for row in batch]
        with model.hooks(fwd_hooks=row_hooks(model, [circuits[at] for at in own], [changes[at] for at in own])):
            return write_hooked(model, batch, drawing)

    settings = {**requests.settings, "seeds": [*requests.settings["seeds"]] * len(circuits)}
    with tqdm(total=n * len(circuits), desc="generate", unit="response", disable=not progress) as bar:
        finished = lambda batch: bar.update(len(batch))
        rows = requests.rows * len(circuits)
        written = sample(model, rows, batch_size=batch_size, write=write, finished=finished, **settings)
    return [as_examples(model, prompts, written[at * n : (at + 1) * n]) for at in range(len(circuits))]

"""The loss of the same examples under many ablations, circuits being rows of one batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..circuits import Circuit, WeightMask
from ..data import Example, example_rows, response_loss, row_losses
from ..models.gradient_checks import check_finite
from ..models.protocol import HookedModel, logits_at
from .ablate import Ablation, AblationError, Method, ablated, check_method, parts_of
from .batched import batched_loss_increase


@torch.no_grad()
def sweep(
    model: HookedModel,
    circuits: Sequence[Ablation],
    examples: Sequence[Example],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Float[Tensor, "circuit example"]:
    """Return L of each example under each ablation: nats per response token, float32, on the CPU.

        L = hc.sweep(model, [None, circuit, control], examples)
        L[1:] - L[0]  # loss increases; positive: the ablation hurts

    The same as `hc.loss` inside `ablated` for each, beyond rounding, and faster: see `batched`. Masks of weights come one after
    the other, since the rows of a batch share the weights.

    Args:
        circuits: what is ablated; None: nothing.
        method: "zero" or "scale", as in `ablated`.
        alpha: factor of "scale".
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU.

    Raises:
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
        ExampleError: an example with an empty response, or a prompt, which has none.
    """
    circuits = parts_of(circuits)
    if not examples or not circuits:
        raise AblationError("nothing to measure: give at least one ablation (None: the unablated model) and one example")
    if batch_size is not None and batch_size < 1:
        raise AblationError(f"batch_size must be at least 1, not {batch_size}")
    if method == "mean":
        raise AblationError("a sweep takes method='zero' or 'scale': measure means with hc.loss inside hc.ablated")
    check_method(method, alpha=alpha)
    rows = example_rows(model, examples)
    batched = {index: part for index, part in enumerate(circuits) if isinstance(part, Circuit) and len(part)}
    losses = torch.empty(len(circuits), len(rows))
    with tqdm(total=len(rows) * len(circuits), desc="sweep", unit="row", disable=not progress) as bar:
        score = lambda batch: response_loss(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch)
        losses[:], increase = batched_loss_increase(
            model, rows, [*batched.values()], score=score, of_logits=response_loss, factor=alpha or 0.0, batch_size=batch_size,
            advance=bar.update,
        )  # fmt: skip
        losses[[*batched]] += increase.T
        for index, part in enumerate(circuits):
            if isinstance(part, WeightMask):
                with ablated(model, part, method=method, alpha=alpha):
                    losses[index] = row_losses(model, rows)
                bar.update(len(rows))
    for index, (part, own) in enumerate(zip(circuits, losses, strict=True)):
        check_finite(
            model, own, what=f"ablation {index}: the loss", examples=range(len(rows)), rows=[row.tokens for row in rows],
            within=ablated(model, part, method=method, alpha=alpha),
        )  # fmt: skip
    return losses

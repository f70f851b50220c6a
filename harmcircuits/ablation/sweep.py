"""The loss of the same examples under many ablations, circuits as rows of one batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..circuits import Circuit, WeightMask
from ..data import Example, example_rows, response_loss, row_losses
from ..models.numbers import check_finite
from ..models.protocol import HookedModel, logits_at
from .changes import AblationError, Method, changes_of, check_method
from .hooks import Ablation, ablated, parts_of
from .together import rises_together


@torch.no_grad()
def sweep(
    model: HookedModel,
    circuits: Sequence[Ablation],
    examples: Sequence[Example],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> Float[Tensor, "circuit example"]:
    """L of each example under each ablation: nats per response token, float32, on the CPU.

        L = hc.sweep(model, [None, circuit, control], examples)
        L[1:] - L[0]  # rises; positive: the ablation hurts

    The same as `hc.loss` inside `ablated` for each of them (beyond rounding), in one go: circuits are rows of one batch, the
    layers below a circuit and what all examples begin with are computed once. Masks of weights come one after the other, since
    the rows of a batch share the weights.

    Args:
        circuits: what is off; None: nothing.
        method: as in `ablated`.
        alpha: of "scale".
        reference: of "mean" and "resample".
        seed: of "resample".
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU.

    Raises:
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
        ExampleError: an example with an empty response, or a prompt, which has none yet.
    """
    circuits = parts_of(circuits)
    if not examples or not circuits:
        raise AblationError("nothing to measure: give at least one ablation (None: the intact model) and one example")
    check_method(method, alpha=alpha, reference=reference)
    if batch_size is not None and batch_size < 1:
        raise AblationError(f"batch_size must be at least 1, not {batch_size}")
    rows = example_rows(model, examples)
    own = {at: part for at, part in enumerate(circuits) if isinstance(part, Circuit) and len(part)}
    changes = changes_of(model, [*own.values()], method=method, alpha=alpha, reference=reference, seed=seed)
    found = torch.empty(len(circuits), len(rows))
    with tqdm(total=len(rows) * len(circuits), desc="sweep", unit="row", disable=not progress) as bar:
        intact, rises = rises_together(
            model,
            rows,
            [*own.values()],
            changes=changes,
            score=lambda batch: response_loss(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch),
            of_logits=response_loss,
            batch_size=batch_size,
            advance=bar.update,
        )
        found[:] = intact
        found[[*own]] += rises.T
        for index, part in enumerate(circuits):
            if isinstance(part, WeightMask):
                with ablated(model, part, method=method, alpha=alpha):
                    found[index] = row_losses(model, rows)
                bar.update(len(rows))
    tokens = [row.tokens for row in rows]
    for index, (circuit, losses) in enumerate(zip(circuits, found, strict=True)):
        within = ablated(model, circuit, method=method, alpha=alpha, reference=reference, seed=seed)
        what = f"ablation {index}: the loss"
        check_finite(model, losses, what=what, examples=range(len(rows)), rows=tokens, within=within)
    return found

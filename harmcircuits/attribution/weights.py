"""Per-weight attribution of all layers from one data pass: one forward and one backward pass a batch.

For a weight W_ij of a linear layer y = W x, and the loss L of a response (mean negative log-likelihood, nats per token),

    A_W = − W ⊙ mean_n ∂L_n/∂W        over the harmful examples n: how much L rises when the weight is set to zero, to first
                                      order. Positive: the weight promotes the response.
    U_W = mean_n |W ⊙ ∂L_n/∂W|        over the benign examples, the absolute value taken per example.

The layer's input x_n and output gradient g_n [pos, …] give ∂L_n/∂W = g_nᵀ x_n, so that hooks suffice: no parameter gets one.
A needs the sum alone, one product gᵀx over batch · positions; U needs one product an example, of its own tokens.

Source: arXiv 2604.09544, whose S is −A summed over examples (there: one pass a layer, one example a batch).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..data import BatchError, Example, Full, Prompt, attempt, batched, make_batch, row_length
from ..models.gradients import check_gradients
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel
from .passes import Metric, ModelMetric, Reading, laid_out
from .scores import AttributionError
from .weight_gradients import Sums, add_gradients, empty_sums
from .weight_scores import WeightAttribution

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Set:
    """Examples laid out, and which sums are wanted of them."""

    name: str
    reading: Reading
    signed: bool
    absolute: bool


def attribute_weights(
    model: HookedModel,
    harmful: Sequence[Example] | Sequence[Prompt],
    *,
    benign: Sequence[Example] | Sequence[Prompt] | None = None,
    metric: Metric | ModelMetric | None = None,
    batch_size: int = 8,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> WeightAttribution:
    """A_W = −W ⊙ mean ∂L/∂W over `harmful` and U_W = mean |W ⊙ ∂L/∂W|, taken per example, over `benign`, for every weight.

    In the metric's unit: with the default, the loss of the response, nats per response token. Positive A: the weight promotes
    the response. The paper's S is −A (it prunes the most negative S). Use unprocessed weights: W ⊙ ∂L/∂W changes when norms are
    folded into them.

    Args:
        benign: whose U protects (`select_weights`); None: U is taken over `harmful` itself.
        metric: as in `attribute`; of both sets.
        batch_size: rows a pass; scores do not depend on it (beyond rounding). Half of it where the device has no memory for
            them, from the start of the pass.
        device: of the accumulators, float32, 4 bytes a weight (8 without `benign`); None: each lies beside its matrix. Scores
            are returned on the CPU.

    Raises:
        AttributionError: no examples, or a score that is not a number (names matrix and example).
        BatchError: not even one row fits into the device's memory.
        ExampleError: an example without a response, where the metric reads responses.
        ModelError: the model's matrices cannot be found, or it computes with others; or a state in which W ⊙ gradient means
            something else (dropout, autocast, quantised or folded weights; see `models.gradients`).
    """
    if not harmful or (benign is not None and not benign):
        which = "benign" if harmful else "harmful"
        raise AttributionError(f"no {which} examples: there is nothing to attribute. Elicit some first (hc.elicit).")
    check_gradients(model, weights=True)
    sets = [_Set("harmful", laid_out(model, harmful, metric), signed=True, absolute=benign is None)]
    if benign is not None:
        sets.append(_Set("benign", laid_out(model, benign, metric), signed=False, absolute=True))
    found = matrices(model)
    if device is not None and torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise AttributionError(f"device={str(device)!r}: there is no CUDA device here. Leave it out, or give device='cpu'.")
    signed: dict[str, Tensor] = {}
    absolute: dict[str, Tensor] = {}
    with tqdm(total=sum(len(each.reading.rows) for each in sets), unit="example", disable=not progress) as bar:
        for each in sets:
            bar.set_description(f"weights, {each.name}")
            sums, batch_size = _fitting_pass(model, found, each, bar.update, batch_size=batch_size, device=device)
            signed |= _scores(found, sums.signed, scale=-1 / len(each.reading.rows))
            absolute |= _scores(found, sums.absolute, scale=1 / len(each.reading.rows), absolute=True)
    n_benign = len(sets[1].reading.rows) if benign is not None else 0
    return WeightAttribution(signed, absolute, n_examples=len(sets[0].reading.rows), n_benign=n_benign)


def _fitting_pass(
    model: HookedModel,
    block: Sequence[Matrix],
    each: _Set,
    advance: Callable[[int], object],
    *,
    batch_size: int,
    device: torch.device | str | None,
) -> tuple[Sums, int]:
    """`_pass`; where there is no memory for it, from the start with half the batch. Also the batch size with which it went."""
    done = 0

    def told(rows: int) -> None:
        nonlocal done
        done += rows
        advance(rows)

    def once(block: Sequence[Matrix]) -> Sums:
        return _pass(model, block, each, batch_size=batch_size, device=device, advance=told)

    while isinstance(sums := attempt(once, block), Full):
        tried = min(batch_size, len(each.reading.rows))
        if tried == 1:
            raise BatchError(
                f"weights of {len(block)} matrices cannot be scored in this device's memory, not on one row ({sums.words}). "
                "Put the sums elsewhere (device='cpu'), load the model in half precision, or take shorter texts."
            )
        batch_size = tried // 2
        log.warning("no memory for a batch on this device: weights are scored from the start in batches of %d", batch_size)
        told(-done)
    return sums, batch_size


def _pass(
    model: HookedModel,
    block: Sequence[Matrix],
    each: _Set,
    *,
    batch_size: int,
    device: torch.device | str | None,
    advance: Callable[[int], object],
) -> Sums:
    """One data pass: the sums of all matrices."""
    sums = empty_sums(block, signed=each.signed, absolute=each.absolute, device=device)

    for indices in batched(each.reading.rows, batch_size=batch_size, length=row_length):
        batch = make_batch(model, [each.reading.rows[index] for index in indices])
        finite = add_gradients(model, block, batch, each.reading.score, sums)
        if not bool(finite.all()):
            matrix, row = (int(at) for at in (~finite).nonzero()[0])
            raise AttributionError(
                f"the gradient of {block[matrix].name} on {each.name} example {indices[row]} is not a number: the model's "
                "activations or gradients overflow there. Load the model with dtype=torch.float32, or leave that example out."
            )
        advance(len(indices))
    return sums


def _scores(
    block: Sequence[Matrix], sums: dict[str, Tensor], *, scale: float, absolute: bool = False
) -> dict[str, Float[Tensor, "out in"]]:
    """scale · W ⊙ sum of each matrix, or scale · |W| ⊙ sum, on the CPU; `sums` is used up."""
    scores: dict[str, Tensor] = {}
    for matrix in block:
        if matrix.name in sums:
            total, weights = sums.pop(matrix.name), matrix.values().float()
            total *= (weights.abs() if absolute else weights).to(total.device)
            total *= scale
            if not bool(total.isfinite().all()):
                raise AttributionError(f"a score of {matrix.name} is not a number: does the matrix hold NaN or infinities?")
            scores[matrix.name] = total.cpu()
    return scores

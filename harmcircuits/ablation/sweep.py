"""The loss of the same examples under many ablations, with as little computed twice as can be.

- Circuits are rows of one batch: row r has its own circuit ablated, at every position (`per_row_hooks`).
- The layers below a circuit are those of the unablated model: they are computed once, in one row, and the circuit's row joins
  at its lowest layer (`branching_hooks`).
- What all examples begin with (a template's system prompt, shots) is computed once a circuit, for all examples.
- The unembedding is computed only where the metric looks.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..circuits import Circuit, WeightMask
from ..data import Batch, Example, Row, example_rows, make_batch, map_batches, response_loss, row_losses
from ..models.gradient_checks import check_finite
from ..models.prefix_cache import WORTH_SHARING, read_prefix, rows_may_differ_by_layer, shared_length
from ..models.protocol import Hook, HookedModel, device_of, geometry, logits_at, nearly_equal
from .ablate import Ablation, AblationError, Method, ablated, check_method, parts_of, places

FEW = 8
"""Circuits; fewer are not worth a pass for each example, and share passes with those of other examples instead."""
ON_CPU = 2**30
"""Bytes of a pass on a CPU, which is busy with far less, and to which larger tensors cost fresh pages."""

Metric = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]
Increase = tuple[Float[Tensor, " example"], Float[Tensor, "example circuit"]]
"""The metric of each example by the unablated model, and its increase under each circuit."""


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

    The same as `hc.loss` inside `ablated` for each, beyond rounding, and faster. Masks of weights come one after
    the other, since the rows of a batch share the weights.

    Args:
        method: "zero" or "scale", as in `ablated`, with the factor `alpha` of "scale".
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU.

    Raises:
        AblationError, CircuitError, MaskError, ModelError: see `ablated`.
        ExampleError: an example with an empty response, or a prompt, which has none.
    """
    circuits = parts_of(circuits)
    if not examples or not circuits or (batch_size is not None and batch_size < 1):
        raise AblationError("give at least one ablation (None: the unablated model), one example, and one row a pass")
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
    for index, values in enumerate(losses):
        check_finite(values, what=f"ablation {index}: the loss", examples=range(len(rows)))
    return losses


@torch.no_grad()
def batched_loss_increase(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    *,
    score: Callable[[Batch], Float[Tensor, " b"]],
    of_logits: Metric | None,
    factor: float = 0.0,
    batch_size: int | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> Increase:
    """Return the metric of each example, and its increase under each circuit (ablated − unablated), on the CPU.

    Args:
        circuits: none of them empty.
        score: the metric of each row of a batch; runs the model.
        of_logits: the same from the logits of the asked tokens; None where it needs more of the model than these.
        factor: what activations are multiplied by.
        batch_size: ablated rows a pass; None: as many as fit (`rows_that_fit`).
        advance: called with the number of rows that are done.
    """
    order = sorted(range(len(circuits)), key=lambda index: lowest_layer(circuits[index]))
    ordered = [circuits[index] for index in order]
    if of_logits is None or len(ordered) < FEW or not can_branch(model, rows[0].tokens):
        baseline, found = _whole_rows(model, rows, ordered, score, factor, batch_size, advance)
    else:
        baseline, found = torch.empty(len(rows)), torch.empty(len(rows), len(ordered))
        for fit, examples in _by_fit(model, rows, batch_size):
            own = [rows[index] for index in examples]
            for start in range(0, len(ordered), fit):
                window = slice(start, start + fit)
                part = _branching(model, own, ordered[window], of_logits, factor, advance)
                baseline[examples], found[examples, window] = part
    increase = torch.empty_like(found)
    increase[:, order] = found
    return baseline, increase


def per_row_hooks(model: HookedModel, circuits: Sequence[Circuit | None], factor: float = 0.0) -> list[Hook]:
    """Return hooks under which row r of a batch has the activations of `circuits[r]` multiplied by `factor`.

    Raises:
        AblationError: in the pass: it has not one row for each circuit.
    """
    return _row_hooks(model, circuits, factor, rows_at=lambda layer: len(circuits))


def branching_hooks(model: HookedModel, circuits: Sequence[Circuit], factor: float = 0.0) -> list[Hook]:
    """Return the same hooks where one row comes in, stays unablated and the first: row 1 + r has `circuits[r]` ablated.

    Rows join at `hook_resid_pre` of their lowest layer, so that all that layers get beside the residual stream (attention mask,
    rotary angles) has one row there, and must broadcast (`can_branch`).

    Raises:
        AblationError: circuits that are not in the order of their lowest layers.
    """
    lowest = [lowest_layer(circuit) for circuit in circuits]
    if lowest != sorted(lowest):
        raise AblationError("rows join from below: give the circuits in the order of the lowest layer of each")
    joins: list[Hook] = [(_input_hook(layer), partial(_join, new)) for layer, new in Counter(lowest).items()]
    return joins + _row_hooks(model, [None, *circuits], factor, rows_at=lambda layer: 1 + bisect_right(lowest, layer))


def lowest_layer(circuit: Circuit) -> int:
    return min(layer for layer, _ in (*circuit.heads, *circuit.neurons))


def can_branch(model: HookedModel, tokens: Sequence[int]) -> bool:
    """Return whether rows may join halfway up, as tried on a few `tokens`: a row that joins there must end like the first."""
    layer = model.cfg.n_layers // 2
    few = torch.tensor([list(tokens[:4])], device=device_of(model))
    if _input_hook(layer) not in model.hook_dict:
        return False
    with model.hooks(fwd_hooks=[(_input_hook(layer), partial(_join, 1))]):
        try:
            logits = model(few, attention_mask=torch.ones_like(few), return_type="logits")
        except RuntimeError:  # shapes that do not fit together: attention keeps something of its own for each row
            return False
    return len(logits) == 2 and nearly_equal(logits[0], logits[1])


def _row_hooks(
    model: HookedModel, circuits: Sequence[Circuit | None], factor: float, *, rows_at: Callable[[int], int]
) -> list[Hook]:
    cells: dict[str, list[tuple[int, int]]] = {}
    for row, circuit in enumerate(circuits):
        if circuit is not None:
            circuit.check(model)
            for name, _, indices in places(circuit):
                cells.setdefault(name, []).extend((row, index) for index in indices)
    return [(name, partial(_scale, own, rows_at(int(name.split(".")[1])), factor)) for name, own in cells.items()]


def _scale(
    cells: list[tuple[int, int]], n_rows: int, factor: float, activation: Float[Tensor, "row pos ..."], hook: object
) -> Float[Tensor, "row pos ..."]:
    """Out of place: the graph of the unablated activation stays valid."""
    if len(activation) != n_rows:
        raise AblationError(f"the batch has {len(activation)} rows and there are {n_rows} circuits: give one row for each")
    rows, indices = torch.tensor(cells, device=activation.device).T
    changed = activation.clone()
    changed[rows, :, indices] = factor * activation[rows, :, indices] if factor else 0
    return changed


def _input_hook(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_pre"


def _join(new: int, residual: Float[Tensor, "row pos d"], hook: object) -> Float[Tensor, "more pos d"]:
    return torch.cat([residual, residual[:1].expand(new, -1, -1)])


def _branching(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    of_logits: Metric,
    factor: float,
    advance: Callable[[int], object],
) -> Increase:
    """One pass an example: the unablated row comes in, and the ablated ones join it at their layers."""
    shared = _shared(model, rows)
    found = torch.empty(len(rows), 1 + len(circuits))
    with model.hooks(fwd_hooks=branching_hooks(model, circuits, factor)):
        past = read_prefix(model, torch.tensor(rows[0].tokens[:shared])) if shared else None
        for index, row in enumerate(rows):
            one, length = make_batch(model, [row]), len(row) - shared
            positions = one.positions - shared + length * torch.arange(1 + len(circuits))[:, None]
            own = None if past is None else past.repeated(1)  # a pass lengthens it
            logits = logits_at(model, one.tokens[:, shared:], one.attention_mask[:, shared:], positions.flatten(), past=own)
            found[index] = torch.cat([of_logits(part, one).float().cpu() for part in logits.split(positions.shape[1])])
            advance(len(circuits))
    return found[:, 0], found[:, 1:] - found[:, :1]


def _shared(model: HookedModel, rows: Sequence[Row]) -> int:
    """How many tokens all rows begin with, where it pays to read them first."""
    if len(rows) == 1 or not rows_may_differ_by_layer(model):
        return 0
    batch = make_batch(model, rows)
    shared = shared_length(batch.tokens, batch.attention_mask, batch.positions)
    return shared if shared >= WORTH_SHARING else 0


def _whole_rows(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    score: Callable[[Batch], Float[Tensor, " b"]],
    factor: float,
    batch_size: int | None,
    advance: Callable[[int], object],
) -> Increase:
    """Rows of several examples and circuits in one pass, each through all layers, as many as fit; the longest first."""
    conditions = [None, *circuits]
    found = torch.empty(len(rows), len(conditions))
    jobs = [(example, condition) for example in range(len(rows)) for condition in range(len(conditions))]
    jobs.sort(key=lambda job: len(rows[job[0]]), reverse=True)

    def batches() -> Iterator[list[tuple[int, int]]]:
        start = 0
        while start < len(jobs):
            size = batch_size or rows_that_fit(model, rows[jobs[start][0]])
            yield jobs[start : start + size]
            start += size

    def read(batch: list[tuple[int, int]]) -> Float[Tensor, " b"]:
        with model.hooks(fwd_hooks=per_row_hooks(model, [conditions[condition] for _, condition in batch], factor)):
            return score(make_batch(model, [rows[example] for example, _ in batch])).float().cpu()

    for batch, values in map_batches(batches(), read):
        examples, columns = map(list, zip(*batch, strict=True))
        found[examples, columns] = values
        advance(sum(column > 0 for column in columns))
    return found[:, 0], found[:, 1:] - found[:, :1]


def _by_fit(model: HookedModel, rows: Sequence[Row], batch_size: int | None) -> Iterator[tuple[int, list[int]]]:
    """Examples by how many ablated rows fit into a pass, in powers of two: a long one does not hold up short ones."""
    spare = lambda row: max(1, rows_that_fit(model, row) - 1)  # the unablated row takes a place too
    fits = [batch_size or 1 << (spare(row).bit_length() - 1) for row in rows]
    for fit in sorted(set(fits)):
        yield fit, [index for index, own in enumerate(fits) if own == fit]


def rows_that_fit(model: HookedModel, row: Row) -> int:
    """Return how many rows like `row` fit into half of a GPU's free memory, or into `ON_CPU` bytes; at least 1."""
    device = device_of(model)
    budget = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else ON_CPU
    return max(1, budget // row_bytes(model, row))


def row_bytes(model: HookedModel, row: Row) -> int:
    """Return an upper estimate of the memory of a row of n tokens without gradients, in bytes.

    One layer: n · (6 · d_model + 3 · d_mlp) + 3 · n_heads · n²; cache: 2 · n · n_layers · n_kv · d_head;
    logits of the asked tokens, their softmax and a copy, 3 · d_vocab each; at least 4 bytes a number.
    """
    shape, cfg, n = geometry(model), model.cfg, len(row)
    n_kv = getattr(cfg, "n_key_value_heads", None) or shape.n_heads
    numbers = n * (6 * cfg.d_model + 3 * shape.d_mlp) + 3 * shape.n_heads * n * n
    numbers += n * 2 * shape.n_layers * n_kv * shape.d_head + (row.stop - row.start) * 3 * cfg.d_vocab
    return int(max(4, next(iter(model.parameters())).element_size()) * numbers)

"""The loss of the same examples under many ablations, with as little computed twice as can be.

- Circuits are rows of one batch: row r has its own circuit ablated, at every position (`per_row_hooks`).
- The layers below a circuit are computed once, in one unablated row; the circuit's row joins at its lowest layer
  (`branching_hooks`).
- What all examples begin with (a template's system prompt, shots) is computed once a circuit, for all examples.
- The unembedding is computed only where the metric looks.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..circuits import Circuit
from ..data import Batch, Example, Row, example_rows, make_batch, map_batches, response_loss, row_losses
from ..errors import HarmcircuitsError
from ..models.forward import WORTH_SHARING, logits_at, read_prefix, rows_may_differ_by_layer, shared_length
from ..models.protocol import Hook, HookedModel, check_finite, device_of, geometry, nearly_equal
from .ablate import BASELINE, Intervention, Method, ablated, check_method, parts_of

INPUT = "blocks.{}.hook_resid_pre"
FEW = 8
"""Circuits that are worth a pass for each example; fewer share passes with those of other examples."""
ON_CPU = 2**30
"""Bytes of a pass on a CPU: larger tensors are slower there."""

Score = Callable[[Batch], Float[Tensor, " b"]]
Metric = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]
Advance = Callable[[int], object]
Losses = Float[Tensor, "example 1+circuit"]
"""The metric of each example by the unablated model (column 0), and under each circuit."""


@torch.no_grad()
def sweep(
    model: HookedModel,
    circuits: Mapping[str, Intervention] | Sequence[Intervention],
    examples: Sequence[Example],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Return L of each example (row) under each ablation (column): nats per response token, float32.

        L = hc.sweep(model, {"baseline": None, "circuit": circuit, "random": control}, examples)
        L.sub(L["baseline"], axis=0).mean()  # loss increases ΔL; positive: the ablation hurts

    The same as `hc.loss` inside `ablated` for each, beyond rounding, and faster. Others than circuits are measured one by one.

    Args:
        circuits: ablations by the name of their column. Those of a list are called "baseline" (None) and "circuit 1", by index.
        method: "zero" or "scale", as in `ablated`, with the factor `alpha` of "scale".
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU.

    Raises:
        HarmcircuitsError: see `ablated` and `loss`.
    """
    if not isinstance(circuits, Mapping):
        circuits = {BASELINE if part is None else f"circuit {index}": part for index, part in enumerate(parts_of(circuits))}
    parts = parts_of([*circuits.values()])
    if not examples or not parts or (batch_size is not None and batch_size < 1):
        raise HarmcircuitsError("give at least one ablation (None: the unablated model), one example, and one row a pass")
    if method == "mean":
        raise HarmcircuitsError("a sweep takes method='zero' or 'scale': measure means with hc.loss inside hc.ablated")
    check_method(method, alpha=alpha)
    rows = example_rows(model, examples)
    batched = {index: part for index, part in enumerate(parts) if isinstance(part, Circuit) and len(part)}
    losses = torch.empty(len(parts), len(rows))
    with tqdm(total=len(rows) * len(parts), desc="sweep", unit="row", disable=not progress) as bar:
        score = lambda batch: response_loss(logits_at(model, batch.tokens, batch.attention_mask, batch.positions), batch)
        losses[:], increase = batched_loss_increase(
            model, rows, [*batched.values()], score=score, of_logits=response_loss, factor=alpha or 0.0, batch_size=batch_size,
            advance=bar.update,
        )  # fmt: skip
        losses[[*batched]] += increase.T
        for index, part in enumerate(parts):
            if not isinstance(part, Circuit | None):
                with ablated(model, part, method=method, alpha=alpha):
                    losses[index] = row_losses(model, rows)
                bar.update(len(rows))
    for name, values in zip(circuits, losses, strict=True):
        check_finite(values, what=f"{name}: the loss", examples=range(len(rows)))
    return pd.DataFrame(losses.T.numpy(), columns=list(circuits)).rename_axis(index="example")


@torch.no_grad()
def batched_loss_increase(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    *,
    score: Score,
    of_logits: Metric | None,
    factor: float = 0.0,
    batch_size: int | None = None,
    advance: Advance = lambda n: None,
) -> tuple[Float[Tensor, " example"], Float[Tensor, "example circuit"]]:
    """Return the metric of each example, and its increase under each circuit (none empty): ablated − unablated, on the CPU.

    Args:
        score: the metric of each row of a batch; runs the model.
        of_logits: the same from the logits of the asked tokens; None where these are not enough.
        advance: called with the number of ablated rows that are done.
    """
    order = sorted(range(len(circuits)), key=lambda index: circuits[index].layers[0])
    ordered = [circuits[index] for index in order]
    if of_logits is None or len(ordered) < FEW or not _can_branch(model, rows[0].tokens):
        losses = _whole_rows(model, rows, ordered, score, factor, batch_size, advance)
    else:
        losses = torch.empty(len(rows), 1 + len(ordered))
        spare = [max(1, _rows_that_fit(model, row) - 1) for row in rows]  # the unablated row takes a place too
        fits = [
            batch_size or 1 << (n.bit_length() - 1) for n in spare
        ]  # in powers of two: a long example holds up no short one
        for fit in sorted(set(fits)):
            examples = [index for index, size in enumerate(fits) if size == fit]
            alike = [rows[index] for index in examples]
            for start in range(0, len(ordered), fit):
                columns = [0, *range(1 + start, 1 + min(start + fit, len(ordered)))]
                part = _branching(model, alike, ordered[start : start + fit], of_logits, factor, advance)
                losses[torch.tensor(examples)[:, None], columns] = part
    increase = torch.empty(len(rows), len(order))
    increase[:, order] = losses[:, 1:] - losses[:, :1]
    return losses[:, 0], increase


def per_row_hooks(model: HookedModel, circuits: Sequence[Circuit | None], factor: float = 0.0) -> list[Hook]:
    """Return hooks under which row r of a batch has the activations of `circuits[r]` multiplied by `factor`."""
    cells: dict[str, list[tuple[int, int]]] = {}
    for row, circuit in enumerate(circuits):
        if circuit is not None:
            circuit.check(model)
            for name, _, indices in circuit.places():
                cells.setdefault(name, []).extend((row, index) for index in indices)
    return [(name, partial(_scale, places, factor)) for name, places in cells.items()]


def branching_hooks(model: HookedModel, circuits: Sequence[Circuit], factor: float = 0.0) -> list[Hook]:
    """Return the same hooks for a batch of one row, which stays unablated and the first: row 1 + r has `circuits[r]` ablated.

    Rows join at the lowest layer of each circuit; `circuits` are in the order of these. The attention mask and the rotary
    angles have one row, and must broadcast (`_can_branch`).
    """
    joins = Counter(circuit.layers[0] for circuit in circuits)
    hooks: list[Hook] = [(INPUT.format(layer), partial(_join, new)) for layer, new in joins.items()]
    return hooks + per_row_hooks(model, [None, *circuits], factor)


def _can_branch(model: HookedModel, tokens: Sequence[int]) -> bool:
    """Whether rows may join halfway up, as tried on a few `tokens`: a row that joins there must end like the first."""
    name = INPUT.format(model.cfg.n_layers // 2)
    if name not in model.hook_dict:
        return False
    few = torch.tensor([list(tokens[:4])], device=device_of(model))
    with model.hooks(fwd_hooks=[(name, partial(_join, 1))]):
        try:
            logits = model(few, attention_mask=torch.ones_like(few), return_type="logits")
        except RuntimeError:  # shapes that do not fit together: attention keeps something of its own for each row
            return False
    return len(logits) == 2 and nearly_equal(logits[0], logits[1])


def _scale(
    cells: list[tuple[int, int]], factor: float, activation: Float[Tensor, "row pos ..."], hook: object
) -> Float[Tensor, "row pos ..."]:
    """Out of place: the graph of the unablated activation stays valid."""
    rows, indices = torch.tensor(cells, device=activation.device).T
    changed = activation.clone()
    changed[rows, :, indices] = factor * activation[rows, :, indices] if factor else 0
    return changed


def _join(new: int, residual: Float[Tensor, "row pos d"], hook: object) -> Float[Tensor, "more pos d"]:
    return torch.cat([residual, residual[:1].expand(new, -1, -1)])


def _branching(
    model: HookedModel, rows: Sequence[Row], circuits: Sequence[Circuit], of_logits: Metric, factor: float, advance: Advance
) -> Losses:
    """One pass an example: the unablated row comes in, and the ablated ones join it at their layers."""
    batch = make_batch(model, rows)
    shared = shared_length(batch.tokens, batch.attention_mask, batch.positions)
    if len(rows) == 1 or shared < WORTH_SHARING or not rows_may_differ_by_layer(model):
        shared = 0
    losses = torch.empty(len(rows), 1 + len(circuits))
    with model.hooks(fwd_hooks=branching_hooks(model, circuits, factor)):
        prefix = read_prefix(model, torch.tensor(rows[0].tokens[:shared])) if shared else None
        for index, row in enumerate(rows):
            batch, length = make_batch(model, [row]), len(row) - shared
            positions = batch.positions - shared + length * torch.arange(1 + len(circuits))[:, None]
            past = None if prefix is None else prefix.repeated(1)  # a pass lengthens it
            tokens, mask = batch.tokens[:, shared:], batch.attention_mask[:, shared:]
            logits = logits_at(model, tokens, mask, positions.flatten(), past=past)
            losses[index] = torch.cat([of_logits(part, batch).float().cpu() for part in logits.split(positions.shape[1])])
            advance(len(circuits))
    return losses


def _whole_rows(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    score: Score,
    factor: float,
    batch_size: int | None,
    advance: Advance,
) -> Losses:
    """Rows of several examples and circuits in one pass, each through all layers, as many as fit; the longest first."""
    conditions = [None, *circuits]
    losses = torch.empty(len(rows), len(conditions))
    jobs = sorted(product(range(len(rows)), range(len(conditions))), key=lambda job: -len(rows[job[0]]))

    def batches() -> Iterator[list[tuple[int, int]]]:
        left = iter(jobs)
        for example, condition in left:
            size = batch_size or _rows_that_fit(model, rows[example])
            yield [(example, condition), *islice(left, size - 1)]

    def read(batch: list[tuple[int, int]]) -> Float[Tensor, " b"]:
        with model.hooks(fwd_hooks=per_row_hooks(model, [conditions[condition] for _, condition in batch], factor)):
            return score(make_batch(model, [rows[example] for example, _ in batch])).float().cpu()

    for batch, values in map_batches(batches(), read):
        examples, columns = map(list, zip(*batch, strict=True))
        losses[examples, columns] = values
        advance(sum(column > 0 for column in columns))
    return losses


def _rows_that_fit(model: HookedModel, row: Row) -> int:
    """How many rows like `row` fit into half of a GPU's free memory, or into `ON_CPU` bytes; at least 1."""
    device = device_of(model)
    budget = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else ON_CPU
    return max(1, budget // row_bytes(model, row))


def row_bytes(model: HookedModel, row: Row) -> int:
    """Return an upper estimate of a row's memory without gradients, in bytes: one layer, the cache and the asked logits."""
    shape, cfg, n = geometry(model), model.cfg, len(row)
    n_kv = getattr(cfg, "n_key_value_heads", None) or shape.n_heads
    numbers = n * (6 * cfg.d_model + 3 * shape.d_mlp) + 3 * shape.n_heads * n * n
    numbers += n * 2 * shape.n_layers * n_kv * shape.d_head + (row.stop - row.start) * 3 * cfg.d_vocab
    return int(max(4, next(iter(model.parameters())).element_size()) * numbers)

"""Many circuits over many examples, with as little computed twice as can be.

- circuits are rows of one batch, each with its own mask (`rows.py`);
- the layers below a circuit are the intact model: they are computed once, and its row joins at its lowest layer;
- what all examples begin with (a template's system prompt, shots) is computed once a circuit, for all examples;
- the unembedding is computed only where somebody looks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..circuits import Circuit
from ..data import Batch, Row, each_batch, make_batch, row_length
from ..models.past import WORTH_SHARING, read_past, shared_length, takes_more_rows
from ..models.protocol import HookedModel
from ..models.unembedding import logits_by_row, unembeds_alone
from .changes import ZERO, Change
from .memory import rows_that_fit
from .rows import grown_hooks, lowest_layer, row_hooks, rows_broadcast

FEW = 8
"""Circuits; fewer are not worth a pass for each example, and share passes with those of other examples instead."""

OfLogits = Callable[[Float[Tensor, "asked d_vocab"], Batch], Float[Tensor, " b"]]


@torch.no_grad()
def rises_together(
    model: HookedModel,
    rows: Sequence[Row],
    circuits: Sequence[Circuit],
    *,
    score: Callable[[Batch], Float[Tensor, " b"]],
    of_logits: OfLogits | None,
    changes: Sequence[Change] | None = None,
    batch_size: int | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> tuple[Float[Tensor, " example"], Float[Tensor, "example circuit"]]:
    """The metric of each example by the intact model, and its rise under each circuit (ablated − intact), on the CPU.

    Args:
        rows: the examples, laid out.
        circuits: none of them empty.
        score: the metric of each row of a batch; runs the model.
        of_logits: the same from the logits of the asked tokens; None where it needs more of the model than these.
        changes: of each circuit; None: zero.
        batch_size: ablated rows a pass; None: as many as fit (`memory.py`).
        advance: is told of so many rows that are done.
    """
    order = sorted(range(len(circuits)), key=lambda at: lowest_layer(circuits[at]))
    each = [(circuits[at], changes[at] if changes else ZERO) for at in order]
    if of_logits is None or len(each) < FEW or not rows_broadcast(model, rows[0].tokens):
        intact, found = _in_full(model, rows, each, score, batch_size, advance)
    else:
        read = partial(logits_by_row, model, separately=unembeds_alone(model, rows[0].tokens))
        intact, found = torch.empty(len(rows)), torch.empty(len(rows), len(each))
        for fit, examples in _alike(model, rows, batch_size):
            own = [rows[at] for at in examples]
            for start in range(0, len(each), fit):
                window = slice(start, start + fit)
                intact[examples], found[examples, window] = _joining(model, own, each[window], read, of_logits, advance)
    rises = torch.empty_like(found)
    rises[:, order] = found
    return intact, rises


def _joining(
    model: HookedModel,
    rows: Sequence[Row],
    window: Sequence[tuple[Circuit, Change]],
    read: Callable[..., Iterator[Float[Tensor, "asked d_vocab"]]],
    of_logits: OfLogits,
    advance: Callable[[int], object],
) -> tuple[Float[Tensor, " example"], Float[Tensor, "example circuit"]]:
    """One pass an example: the intact row comes in, and the ablated ones join it at their layers."""
    shared = _shared(model, rows)
    found = torch.empty(len(rows), 1 + len(window))
    circuits, changes = ([each[part] for each in window] for part in (0, 1))
    with model.hooks(fwd_hooks=grown_hooks(model, circuits, changes)):  # type: ignore[arg-type]
        past = read_past(model, torch.tensor(rows[0].tokens[:shared])) if shared else None

        def of_example(at: int) -> Float[Tensor, " circuit"]:
            one = make_batch(model, [rows[at]])
            length = row_length(rows[at]) - shared
            positions = one.positions - shared + length * torch.arange(1 + len(window))[:, None]
            given = one.tokens[:, shared:], one.attention_mask[:, shared:], positions
            own = None if past is None else past.repeated(1)  # a pass lengthens it
            return torch.cat([of_logits(logits, one).float().cpu() for logits in read(*given, past=own)])

        for at in range(len(rows)):
            found[at] = of_example(at)
            advance(len(window))
    return found[:, 0], found[:, 1:] - found[:, :1]


def _shared(model: HookedModel, rows: Sequence[Row]) -> int:
    """How many tokens all rows begin with, where it pays to read them first."""
    if len(rows) == 1 or not takes_more_rows(model):
        return 0
    batch = make_batch(model, rows)
    shared = shared_length(batch.tokens, batch.attention_mask, batch.positions)
    return shared if shared >= WORTH_SHARING else 0


def _in_full(
    model: HookedModel,
    rows: Sequence[Row],
    each: Sequence[tuple[Circuit, Change]],
    score: Callable[[Batch], Float[Tensor, " b"]],
    batch_size: int | None,
    advance: Callable[[int], object],
) -> tuple[Float[Tensor, " example"], Float[Tensor, "example circuit"]]:
    """Rows of several examples and circuits in one pass, each through all layers."""
    conditions: list[tuple[Circuit | None, Change]] = [(None, ZERO), *each]
    found = torch.empty(len(rows), len(conditions))

    def read(taken: list[tuple[int, int]]) -> Float[Tensor, " b"]:
        circuits, changes = zip(*[conditions[at] for _, at in taken], strict=True)
        with model.hooks(fwd_hooks=row_hooks(model, circuits, changes)):
            return score(make_batch(model, [rows[example] for example, _ in taken])).float().cpu()

    for taken, values in each_batch(_filled(model, rows, len(conditions), batch_size), read):
        examples, columns = map(list, zip(*taken, strict=True))
        found[examples, columns] = values
        advance(sum(at > 0 for at in columns))
    return found[:, 0], found[:, 1:] - found[:, :1]


def _filled(
    model: HookedModel, rows: Sequence[Row], n_conditions: int, batch_size: int | None
) -> Iterator[list[tuple[int, int]]]:
    """Each example under each condition, as many in a batch as fit; the longest first."""
    jobs = [(example, at) for example in range(len(rows)) for at in range(n_conditions)]
    jobs.sort(key=lambda job: row_length(rows[job[0]]), reverse=True)
    while jobs:
        size = batch_size or rows_that_fit(model, rows[jobs[0][0]])
        yield jobs[:size]
        jobs = jobs[size:]


def _alike(model: HookedModel, rows: Sequence[Row], batch_size: int | None) -> Iterator[tuple[int, list[int]]]:
    """Examples by how many ablated rows fit into a pass, in powers of two: a long one does not hold up short ones."""
    spare = lambda row: max(1, rows_that_fit(model, row) - 1)  # the intact row takes a place too
    fit = [batch_size or 1 << (spare(row).bit_length() - 1) for row in rows]
    for size in sorted(set(fit)):
        yield size, [at for at, own in enumerate(fit) if own == size]

"""The scores of one example at the tokens of its response, drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import figures
from ..data import Example, Row, example_rows, pieces
from ..models.protocol import HookedModel
from .scores import KINDS, Attribution, AttributionError, Kind

if TYPE_CHECKING:
    import plotly.graph_objects as go


def token_figure(
    scores: Attribution, model: HookedModel, examples: Sequence[Example], example: int, *, kind: Kind | None, words: bool
) -> "go.Figure":
    """What `Attribution.token_figure` does; see there."""
    if kind not in (None, *KINDS):
        raise AttributionError(f'kind {kind!r} is unknown: "heads" or "neurons", or None for both')
    row = _row(scores, model, examples, example)
    frame = scores.per_token(example)[[own for own in KINDS if kind in (None, own)]]
    before, response = frame.iloc[: row.start], frame.iloc[row.start :]
    texts = pieces(model, row.tokens)[row.start :] if words else None
    return figures.token_attribution(response, tokens=texts, before=float(before.to_numpy().sum()))


def _row(scores: Attribution, model: HookedModel, examples: Sequence[Example], example: int) -> Row:
    """The tokens of the example, which must be as many as were scored."""
    if isinstance(examples, Example) or len(examples) != scores.n_examples:
        given = "one example" if isinstance(examples, Example) else f"{len(examples)} examples"
        raise AttributionError(f"give the {scores.n_examples} examples that were scored, in their order, not {given}")
    if not 0 <= example < scores.n_examples:
        raise AttributionError(f"there is no example {example}: there are {scores.n_examples}, counted from 0")
    scored = len(scores.per_token(example))
    (row,) = example_rows(model, [examples[example]])
    if len(row.tokens) != scored:
        raise AttributionError(
            f"example {example} has {len(row.tokens)} tokens, and {scored} were scored: these scores are of other texts, of "
            "another model, or of a metric that reads more than the response (per_token gives them)"
        )
    return row

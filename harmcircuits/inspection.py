"""What one head or neuron does: the tokens it answers to, where it looks, what it adds to the logits. No causes: ablate it.

Direct effects: where a component adds w to the residual stream (a neuron its activation times its row of W_out, a head z W_O),
its share in the logit of token t, past all later layers, is

    D(t) = ((w − mean w) / σ ⊙ γ) · (W_U[:, t] − mean over the vocabulary of W_U)          (no mean of w in an RMSNorm)

with the final norm's scale σ held at its value in the pass. Positive: the component makes t likelier. The shares of all heads,
neurons, the embedding and the biases sum to the logit, measured from the mean of all logits.
Source: nostalgebraist 2020 (logit lens); Elhage et al. 2021 (direct paths).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Literal, cast, get_args

import pandas as pd
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from . import figures
from .circuits import Circuit, Component
from .data import Batch, Example, batched, example_rows, make_batch
from .data.examples import Row, pieces
from .errors import HarmcircuitsError
from .models.forward import logits_at, recorded
from .models.matrices import matrices
from .models.protocol import HookedModel, geometry, nearly_equal
from .results import Result
from .statistics import Estimate, mean_estimate, mean_estimates

Where = Literal["context", "response", "all"]
HIDDEN = "·"
MOST_LABELS = 48  # tokens up to which each is written at the axes of a figure; beyond, their places are
SCALE = "ln_final.hook_scale"


@torch.no_grad()
def top_tokens(
    model: HookedModel,
    examples: Sequence[Example],
    *,
    head: Component | None = None,
    neuron: Component | None = None,
    k: int = 10,
    where: Where = "context",
    words: bool = False,
    batch_size: int = 8,
) -> pd.DataFrame:
    """Return the `k` tokens of `examples` at which a head or neuron is most active, the most active first.

        hc.top_tokens(model, harmful, neuron=(12, 845))

    A neuron's value is its activation (`hook_post`), ranked by size whatever its sign; a head's is the length of `hook_z`.

    Args:
        head: (layer, index) of a head, or its name ("L3H7"); or
        neuron: (layer, index) of a neuron, or its name ("L12N845").
        where: "context" is what comes before the response (chat frame, request, prefill); "response" its tokens; or "all".
        words: show the words of responses; else each is "·", since what a model wrote may be harmful.

    Returns:
        Columns token, value, context (five tokens on either side, it in brackets), part, example, position (from 0).
    """
    _, hook, _, index = _component(model, head, neuron)
    if k < 1 or not examples or where not in get_args(Where):
        raise HarmcircuitsError(f"k={k}, where={where!r}, {len(examples)} examples: ask for tokens at one of {get_args(Where)}")
    rows, values = example_rows(model, examples), []
    for indices, _, (activations,), _ in _passes(model, rows, [hook], batch_size):
        activation = activations[:, :, index].float()
        for example, sizes in zip(indices, (activation.norm(dim=-1) if head else activation).tolist(), strict=True):
            start, stop = rows[example].start, rows[example].stop
            positions = range(start if where == "response" else 0, start if where == "context" else stop)
            values += [(sizes[position], example, position) for position in positions]
    lines = []
    for value, example, position in sorted(values, key=lambda value: -abs(value[0]))[:k]:
        start, texts = rows[example].start, pieces(model, rows[example].tokens)
        texts[start:] = texts[start:] if words else [HIDDEN] * len(texts[start:])
        before, after = texts[max(0, position - 5) : position], texts[position + 1 : position + 6]
        context = f"{''.join(before)}[{texts[position]}]{''.join(after)}"
        lines.append((texts[position], value, context, "context" if position < start else "response", example, position))
    return pd.DataFrame(lines, columns=["token", "value", "context", "part", "example", "position"])


@dataclass(frozen=True, eq=False)
class AttentionPattern:
    """The attention of one head on one example.

    Attributes:
        component: "L3H7".
        pattern: how much each query token takes from each key token; a row sums to 1, and tokens after the query get 0.
        tokens: the text of each token, chat frame and response too.
        n_context: tokens before the response.
    """

    component: str
    pattern: Float[Tensor, "query key"]
    tokens: tuple[str, ...]
    n_context: int

    def figure(self, *, words: bool = False) -> go.Figure:
        """Draw the pattern, queries downwards; words of the response are hidden unless `words`."""
        texts = [f"{at}: {text if words or at < self.n_context else HIDDEN}" for at, text in enumerate(self.tokens)]
        labels = texts if len(texts) <= MOST_LABELS else range(len(texts))
        lower = self.pattern.masked_fill(~torch.ones_like(self.pattern).tril().bool(), nan)
        return figures.heatmap(
            pd.DataFrame(lower.numpy(), index=labels, columns=labels),
            title=f"Where does {self.component} look?",
            caption="Attention after the softmax: how much each token (downwards) takes from each token before it (to the "
            "right). A row sums to 1; no interval, since this is one text. The line marks where the response begins.",
            x_title="key",
            y_title="query",
            bar="attention",
            boundary=self.n_context,
        )

    def __repr__(self) -> str:
        return f"AttentionPattern({self.component}, {self.n_context} of {len(self.tokens)} tokens before the response)"


@torch.no_grad()
def attention_pattern(model: HookedModel, example: Example, *, head: Component) -> AttentionPattern:
    """Return how much each token of `example` takes from those before it in one head (`hook_pattern`, after the softmax)."""
    name, _, layer, index = _component(model, head, None)
    (row,) = example_rows(model, [example])
    _, _, (pattern,), _ = next(_passes(model, [row], [f"blocks.{layer}.attn.hook_pattern"], 1))
    return AttentionPattern(name, pattern[0, index].float().cpu(), tuple(pieces(model, row.tokens)), row.start)


@dataclass(frozen=True, eq=False)
class DirectEffects(Result):
    """What one component adds to the logits directly, over the response positions of examples.

    Attributes:
        component: "L3H7" or "L12N845".
        per_example: mean over the response's tokens of D of the very token that was written there.
        tokens: columns token, id, effect, low, high: the tokens of the vocabulary that it raises most, then those that it
            lowers most, by the mean of D over response positions and then examples. The 95 % bootstrap interval over examples
            does not allow for the row having been picked (NaN below 3 examples).
    """

    component: str
    per_example: Float[Tensor, " example"]
    tokens: pd.DataFrame

    @property
    def logit(self) -> Estimate:
        """Mean of `per_example`, with its 95 % bootstrap interval over examples. Positive: what was written gains by it."""
        return mean_estimate(self.per_example.numpy())

    def __repr__(self) -> str:
        return f"DirectEffects({self.component}, {len(self.per_example)} examples, own logit {self.per_example.mean():+.3g})"

    def table(self) -> pd.DataFrame:
        """Return `tokens`."""
        return self.tokens


@torch.no_grad()
def direct_effects(
    model: HookedModel,
    examples: Sequence[Example],
    *,
    head: Component | None = None,
    neuron: Component | None = None,
    k: int = 10,
    batch_size: int = 8,
) -> DirectEffects:
    """Return the direct share of one head or neuron in the logits, where the responses of `examples` are written.

        hc.direct_effects(model, harmful, neuron=(12, 845)).tokens

    Args:
        head: (layer, index) of a head, or its name ("L3H7"); or
        neuron: (layer, index) of a neuron, or its name ("L12N845").
        k: tokens raised most, and as many lowered most.

    Raises:
        HarmcircuitsError: shares would not add up, since a norm comes after the layer (as in Gemma), or a soft cap after the
            logits.
    """
    component, hook, layer, index = _component(model, head, neuron)
    if k < 1 or not examples:
        raise HarmcircuitsError(f"k={k}, {len(examples)} examples: ask for at least 1 token of at least 1 example")
    block, out, size = ("attn", "o", geometry(model).d_head) if head else ("mlp", "out", 1)
    W_out = next(matrix for matrix in matrices(model) if matrix.name == f"blocks.{layer}.{block}.{out}").values().float()
    points = [hook, f"blocks.{layer}.hook_{block}_out", f"blocks.{geometry(model).n_layers - 1}.hook_resid_post", SCALE]
    columns = slice(index * size, (index + 1) * size)
    unembedding, rows = _centred(cast(Any, model).W_U.detach().float()), example_rows(model, examples)
    effects, shares = torch.empty(len(rows)), unembedding.new_zeros(len(rows), len(unembedding))
    for indices, batch, activations, logits in _passes(model, rows, points, batch_size):
        positions, row_of, targets = (each.to(shares.device) for each in (batch.positions, batch.row_of, batch.targets))
        read = (activation.to(shares.device).flatten(0, 1)[positions].float() for activation in activations)
        inputs, output, residual, scale = (values.flatten(1) for values in read)
        _check_sums(model, inputs @ W_out.T, output, residual, logits.float())
        normed = _normed(model, inputs[:, columns] @ W_out[:, columns].T) / scale
        effects[indices] = batch.mean_over_rows((normed * unembedding[:, targets].T).sum(-1)).cpu()
        weights = 1 / torch.bincount(row_of)[row_of, None]
        shares.index_add_(0, torch.tensor(indices, device=shares.device)[row_of], normed * weights)
    return DirectEffects(component, effects, _extremes(model, shares, unembedding, k))


def _component(model: HookedModel, head: Component | None, neuron: Component | None) -> tuple[str, str, int, int]:
    """Return name, hook point, layer and index of a head or neuron."""
    if (head is None) == (neuron is None):
        raise HarmcircuitsError("give one component: head=(layer, head) or neuron=(layer, neuron), or its name")
    circuit = Circuit(heads=[head] if head is not None else [], neurons=[neuron] if neuron is not None else [])
    circuit.check(model)
    ((layer, index),), ((hook, *_),) = circuit.heads or circuit.neurons, circuit.places()
    return circuit.components[0], hook, layer, index


def _passes(
    model: HookedModel, rows: Sequence[Row], points: Sequence[str], batch_size: int
) -> Iterator[tuple[list[int], Batch, list[Tensor], Float[Tensor, "target d_vocab"]]]:
    """Yield, batch by batch: indices of rows, the batch, activations at hook points, logits at `batch.positions`."""
    for indices in batched(rows, batch_size=batch_size):
        batch = make_batch(model, [rows[index] for index in indices])
        with recorded(model, points) as activations:
            logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
        yield indices, batch, [activations[name] for name in points], logits


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True)


def _normed(model: Any, added: Float[Tensor, "target d_model"]) -> Float[Tensor, "target d_model"]:
    """(w − mean w) ⊙ γ: the odd part of the final norm of w, times its scale; w is made long, so that no epsilon matters."""
    factor: Tensor = added.norm(dim=-1, keepdim=True).clamp_min(1e-20) / 1000
    long = (added / factor).to(model.W_U.dtype)[None]
    with recorded(model, [SCALE]) as activations:
        odd: Tensor = (model.ln_final(long)[0].float() - model.ln_final(-long)[0].float()) / 2
    return odd * activations[SCALE][0].float() * factor


def _check_sums(model: Any, summed: Tensor, output: Tensor, residual: Tensor, logits: Tensor) -> None:
    """Raise HarmcircuitsError unless components and a bias sum to the layer's output, and logits are norm and unembedding."""
    expected = (model.ln_final(residual.to(model.W_U.dtype)[None])[0] @ model.W_U).float()
    expected = expected if getattr(model, "b_U", None) is None else expected + model.b_U.float()
    if not nearly_equal(summed + (output - summed).mean(0), output) or not nearly_equal(_centred(expected), _centred(logits)):
        raise HarmcircuitsError(
            "a layer's output is not the sum of its components, or logits are not final norm and unembedding alone (a norm or "
            "a soft cap comes after): direct effects are not defined. Llama, GPT-2, Qwen work."
        )


def _extremes(model: HookedModel, shares: Tensor, unembedding: Float[Tensor, "d_model d_vocab"], k: int) -> pd.DataFrame:
    """The `k` tokens that gain most and the `k` that lose most, over examples."""
    effects = (shares.mean(0) @ unembedding).cpu()
    order, k = effects.argsort(descending=True).tolist(), min(k, len(effects) // 2)
    ids = [*order[:k], *order[-k:]]
    ends = [(end.low, end.high) for end in mean_estimates((shares @ unembedding[:, ids]).cpu().numpy())]
    columns = {"token": pieces(model, ids), "id": ids, "effect": effects[ids].double()}
    return pd.DataFrame(columns).join(pd.DataFrame(ends, columns=["low", "high"], dtype=float))

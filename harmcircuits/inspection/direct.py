"""What a head or neuron adds to the logits directly: past all later layers, through the final norm and the unembedding.

At a position where a component adds w to the residual stream (a neuron its activation times its row of W_out, a head z W_O),
its share in the logit of token t is

    D(t) = ((w − mean w) / σ ⊙ γ) · (W_U[:, t] − mean over the vocabulary of W_U)          (no mean of w in an RMSNorm)

with the final norm's scale σ held at its value in the pass. The shares of all heads, all neurons, the embedding and the biases
sum to the logit, measured from the mean of all logits. Positive: it makes t likelier. What later layers make of w is not in it.

Source: nostalgebraist 2020 (logit lens); Elhage et al. 2021 (direct paths). TransformerLens' `direct_logit_attribution` gives
the same for heads; it needs a model whose norms are folded into its weights, and scores of weights need one where they are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..components import Component
from ..data import Batch, Example, batched, example_rows, make_batch, row_length
from ..models.matrices import matrices
from ..models.protocol import HookedModel, ModelError, alike, device_of, geometry, logits_at, vocabulary
from ..notebook import notebook_html
from ..statistics import Estimate, mean_estimate, mean_estimates
from .part import InspectionError, Part, check_examples, keep, part_of
from .readout import SCALE, Readout, readout

COLUMNS = ["token", "id", "effect", "low", "high"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectEffects:
    """What one component adds to the logits directly, over the response positions of examples.

    Attributes:
        component: "L3H7", or "neuron 12.845".
        per_example: mean over the response's tokens of D of the very token that was written there.
        tokens: columns token, id, effect, low, high: the tokens of the vocabulary whose logits it raises most, then those that
            it lowers most, by the mean of D over response positions, each example counted alike; and its 95 % bootstrap
            interval over examples, each row's own: it does not allow for the row having been picked (NaN below 3 examples).
    """

    component: str
    per_example: Float[Tensor, " example"]
    tokens: pd.DataFrame

    @property
    def logit(self) -> Estimate:
        """Mean of `per_example`, with its 95 % bootstrap interval over examples. Positive: what was written gains by it."""
        return mean_estimate(self.per_example.numpy())

    def table(self) -> pd.DataFrame:
        """`tokens`."""
        return self.tokens.copy()

    def __repr__(self) -> str:
        mean = float(self.per_example.mean())
        return f"DirectEffects({self.component}, {len(self.per_example)} examples, own logit {mean:+.3g})"

    def _repr_html_(self) -> str:
        said = f"{self.component}: share in the logit of what was written {self.logit}"
        return notebook_html(said, _beside(self.tokens))


def _beside(tokens: pd.DataFrame) -> pd.DataFrame:
    """The raised and the lowered tokens side by side, the most extreme first."""
    half = len(tokens) // 2
    raised, lowered = tokens[:half].reset_index(), tokens[half:][::-1].reset_index()
    columns = {"raises": raised["token"].map(repr), "by": raised["effect"]}
    return pd.DataFrame(columns | {"lowers": lowered["token"].map(repr), "by ": lowered["effect"]})


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
    """The direct share of one head or neuron in the logits, where the responses of `examples` are written.

        effects = hc.direct_effects(model, harmful, neuron=(12, 845))
        effects.tokens, effects.logit

    Args:
        head: (layer, head); or `neuron`: (layer, neuron).
        k: tokens raised most, and as many lowered most.
        batch_size: rows a pass; effects do not depend on it (beyond rounding).

    Raises:
        InspectionError: not one component, no examples, or `k` below 1.
        CircuitError: the model does not have the component.
        ModelError: what its layer adds is not the sum of its components (a norm or a factor comes after), or its logits are not
            final norm and unembedding alone: shares would not add up.
        ExampleError: an example with an empty response, or a prompt, which has none yet.
    """
    part = part_of(model, head=head, neuron=neuron)
    check_examples(examples)
    if k < 1:
        raise InspectionError(f"k is {k}: ask for at least 1 token")
    reads, writes = readout(model), _written(model, part)
    rows = example_rows(model, examples)
    own, shares = torch.empty(len(rows)), torch.zeros(len(rows), len(reads.gain), device=device_of(model))
    for number, indices in enumerate(batched(rows, batch_size=batch_size, length=row_length)):
        batch = make_batch(model, [rows[index] for index in indices])
        normed = _normed(model, batch, part, reads, writes, check=number == 0)
        own[indices] = batch.mean_over_rows(reads.of_tokens(normed, batch.targets.to(normed.device))).cpu()
        each = torch.bincount(batch.row_of, minlength=len(indices))[batch.row_of].to(normed.device)
        shares.index_add_(0, torch.tensor(indices)[batch.row_of].to(shares.device), (normed / each[:, None]).to(shares.device))
    return DirectEffects(component=part.name, per_example=own, tokens=_extremes(model, shares, reads.unembedding, k))


def _written(model: HookedModel, part: Part) -> Float[Tensor, "d_model in"]:
    """The matrix through which the components of its layer write: W_O or W_out, [out, in]."""
    name = f"blocks.{part.layer}.{'attn.o' if part.is_head else 'mlp.out'}"
    return next(matrix.values().float() for matrix in matrices(model) if matrix.name == name)


def _normed(
    model: HookedModel, batch: Batch, part: Part, reads: Readout, writes: Float[Tensor, "d_model in"], *, check: bool
) -> Float[Tensor, "asked d_model"]:
    """What the component adds, behind the final norm, at the positions that predict the asked tokens."""
    names = {"all": part.hook, "scale": SCALE}
    if check:
        names |= {"sum": f"blocks.{part.layer}.hook_{'attn' if part.is_head else 'mlp'}_out"}
        names |= {"last": f"blocks.{geometry(model).n_layers - 1}.hook_resid_post"}
    if absent := [name for name in names.values() if name not in model.hook_dict]:
        raise ModelError(f"the model has no hook point {absent[0]!r}, which direct effects are read at")
    kept: dict[str, Tensor] = {}
    at = batch.positions

    def read(what: str, activation: Tensor) -> None:
        kept[what] = activation.flatten(0, 1)[at.to(activation.device)].float()

    with model.hooks(fwd_hooks=[keep(partial(read, what), name) for what, name in names.items()]):
        logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
    whole = kept["all"].flatten(1)
    if check:
        _check_sum(kept["sum"], whole @ writes.T, part)
        reads.check(kept["last"], kept["scale"], logits)
    size = geometry(model).d_head if part.is_head else 1
    mine = slice(part.index * size, (part.index + 1) * size)
    return reads.scaled(whole[:, mine] @ writes[:, mine].T, kept["scale"])


def _check_sum(found: Float[Tensor, "asked d_model"], summed: Float[Tensor, "asked d_model"], part: Part) -> None:
    """Raises ModelError unless the layer adds the sum of its components and a bias, the same at every position."""
    if not alike(summed + (found - summed).mean(0), found):
        what = "attention" if part.is_head else "MLP"
        raise ModelError(
            f"what the {what} of layer {part.layer} adds to the residual stream is not the sum of its components (a norm or a "
            "factor comes after): they have no direct share in the logits of their own. Llama, GPT-2, Qwen and Pythia work."
        )


def _extremes(
    model: HookedModel, shares: Float[Tensor, "example d_model"], unembedding: Float[Tensor, "d_model d_vocab"], k: int
) -> pd.DataFrame:
    effects = (shares.mean(0) @ unembedding).cpu()
    order = effects.argsort(descending=True).tolist()
    k = min(k, len(order) // 2)
    chosen = [*order[:k], *order[-k:]]
    ends = mean_estimates((shares @ unembedding[:, chosen]).cpu().numpy())
    decode = vocabulary(model).decode
    rows = [(decode([token]), token, float(effects[token]), one.low, one.high) for token, one in zip(chosen, ends, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"low": np.float64, "high": np.float64})

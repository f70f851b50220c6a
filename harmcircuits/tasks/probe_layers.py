"""Probes after every layer, read before anything is written: does an ablation change what the prompt itself shows?

Two probes a layer, place and condition, tested on the same prompts:

    trained intact   direction from the intact model's training twins, applied to activations under the condition: is harm still
                     written where the intact model writes it?
    retrained        direction from the training twins under the condition: is harm linearly there at all?

Harmfulness is read at the request's last token, refusal at the prompt's last token, before the prefill (Zhao et al. 2025).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from .. import figures
from ..ablation.hooks import Ablation, ablated
from ..examples import Prompt, Row, batched, make_batch, row_length
from ..halves import each_batch
from ..models.devices import stacked
from ..models.past import logits_shared
from ..models.protocol import HookedModel, geometry
from ..notebook import notebook_html
from .asking import prompt_rows, request_ends
from .probe import IN_WORDS, Place, place_columns, ridge
from .residual import columns_kept
from .told_apart import benign_role, contrasted, harm_auroc

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["trained intact", "retrained"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BEFORE_THE_ANSWER: tuple[Place, ...] = ("request", "prompt")
"""Places that a row without a response has."""

SHOWN = 200
"""Draws of a bootstrap that is only to be looked at."""

Residuals = Float[Tensor, "place layer prompt d_model"]


class ProbeError(ValueError):
    """Nothing that a probe could be trained on or read at; the message says what is missing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerProbes:
    """Scores of test prompts by probes after each layer.

    Attributes:
        scores: positive: "harmful"; float32.
        conditions: names, in the order of the first axis.
        places: where the probes are read, in the order of the third axis.
        layers: each probe reads the residual stream after its layer.
        prompts: the test prompts, in the order of the last axis.
        seed: of the intervals.
    """

    scores: Float[np.ndarray, "condition kind place layer prompt"]
    conditions: tuple[str, ...]
    places: tuple[Place, ...]
    layers: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    seed: int = 0

    def of(self, condition: str, kind: Kind, place: Place, layer: int) -> Float[np.ndarray, " prompt"]:
        """The scores of one probe. Raises ValueError for a name or layer that is not among them."""
        at = self.conditions.index(condition), KINDS.index(kind), self.places.index(place), self.layers.index(layer)
        found: Float[np.ndarray, " prompt"] = self.scores[at]
        return found

    def table(self, *, draws: int = 1000) -> pd.DataFrame:
        """AUROC of harmful prompts against near twins (against the other benign prompts where there are no twins): condition,
        kind, place, layer, value, low, high, n. The 95 % interval is over triples, or over prompts (`told_apart`)."""
        against = benign_role(self.prompts)
        rows = []
        for condition in self.conditions:
            for kind in KINDS:
                for place in self.places:
                    for layer in self.layers:
                        scores = self.of(condition, kind, place, layer)
                        found = harm_auroc(scores, self.prompts, against=against, draws=draws, seed=self.seed)
                        rows.append((condition, kind, place, layer, found.value, found.low, found.high, found.n))
        return pd.DataFrame(rows, columns=["condition", "kind", "place", "layer", "value", "low", "high", "n"])

    def figure(self, *, draws: int = SHOWN) -> "go.Figure":
        """AUROC by layer, a panel a place, a line a condition; dashed: retrained under the condition."""
        frame = self.table(draws=draws)
        return figures.auroc_by_layer(frame.assign(place=frame["place"].map(IN_WORDS)))

    def __repr__(self) -> str:
        shape = " × ".join(
            f"{len(part)} {name}{'' if len(part) == 1 else 's'}"
            for part, name in ((self.conditions, "condition"), (self.places, "place"), (self.layers, "layer"))
        )
        return f"LayerProbes({shape}, {len(self.prompts)} prompts)"

    def _repr_html_(self) -> str:
        return notebook_html(f"{self!r}: AUROC of harmful prompts", self.table(draws=SHOWN), figure=self.figure)


def layer_probes(
    model: HookedModel,
    train: Sequence[Prompt],
    test: Sequence[Prompt],
    conditions: Mapping[str, Ablation],
    *,
    layers: Sequence[int] | None = None,
    places: Sequence[Place] = BEFORE_THE_ANSWER,
    batch_size: int = 24,
    seed: int = 0,
    progress: bool = False,
) -> LayerProbes:
    """Scores of `test` by probes trained on `train`, under each condition, after each layer: see `LayerProbes`.

    Rows are `before · request · between`, without prefill or response: one pass a condition reads every layer and place.

    Args:
        train: harmful prompts and near twins; where there are no near twins, other benign prompts. Others are left out.
        test: any prompts, none of them in `train`.
        conditions: by name; None is the intact model.
        layers: all, if not given.
        places: "request", "prompt" or both.
        seed: of the intervals in `table`.

    Raises:
        ProbeError: training prompts of one kind only, no test prompts or conditions, a layer or place that is not there.
    """
    chosen = tuple(range(geometry(model).n_layers) if layers is None else layers)
    taught = [train[at] for at in contrasted(train)]
    _check(model, taught, test, conditions, chosen, places)
    harmful, n = [prompt.role == "harmful" for prompt in taught], len(taught)
    read = lambda condition: _residuals(model, [*taught, *test], condition, chosen, places, batch_size)
    intact = read(None)
    directions = ridge(intact[:, :, :n], harmful)
    scores = np.empty((len(conditions), len(KINDS), len(places), len(chosen), len(test)), dtype=np.float32)
    for at, condition in enumerate(tqdm(conditions.values(), desc="read layers", unit="condition", disable=not progress)):
        found = intact if condition is None else read(condition)
        own = ridge(found[:, :, :n], harmful)
        scores[at] = np.stack([_score(found[:, :, n:], *fitted).numpy() for fitted in (directions, own)])
    return LayerProbes(
        scores=scores, conditions=tuple(conditions), places=tuple(places), layers=chosen, prompts=tuple(test), seed=seed
    )


def _check(
    model: HookedModel,
    taught: Sequence[Prompt],
    test: Sequence[Prompt],
    conditions: Mapping[str, Ablation],
    layers: Sequence[int],
    places: Sequence[Place],
) -> None:
    harmful, depth = sum(prompt.role == "harmful" for prompt in taught), geometry(model).n_layers
    if min(harmful, len(taught) - harmful) < 2:
        raise ProbeError(
            f"a probe needs at least two harmful and two benign training prompts; there are {harmful} and "
            f"{len(taught) - harmful}. Give whole triples, or add benign prompts."
        )
    if not test or not conditions:
        raise ProbeError("there are no test prompts or no conditions: nothing would be read. Give at least one of each.")
    if wrong := [layer for layer in layers if not 0 <= layer < depth]:
        raise ProbeError(f"the model has no layer {wrong[0]}: its {depth} layers are counted from 0")
    if not places or (wrong_places := [place for place in places if place not in BEFORE_THE_ANSWER]):
        named = repr(wrong_places[0]) if places else "nowhere"
        raise ProbeError(
            f"a prompt without a response can be read at {' and '.join(map(repr, BEFORE_THE_ANSWER))}, not {named}: "
            "place_residuals reads the other places, after a response"
        )


@torch.no_grad()
def _residuals(
    model: HookedModel,
    prompts: Sequence[Prompt],
    condition: Ablation,
    layers: Sequence[int],
    places: Sequence[Place],
    batch_size: int,
) -> Residuals:
    """The residual stream after each layer at each place, float32, on the CPU."""
    rows, ends = prompt_rows(model, prompts), request_ends(model, prompts)

    def read(indices: list[int]) -> Float[Tensor, "place layer b d_model"]:
        own: list[Row] = [rows[index] for index in indices]
        batch, columns = make_batch(model, own), place_columns(own, [ends[index] for index in indices])
        asked, first = [columns[place] for place in places], min(columns["request"])
        with columns_kept(model, layers, asked, length=batch.tokens.shape[1]) as kept:
            logits_shared(model, batch.tokens, batch.attention_mask, batch.positions, earliest=first)
        return stacked([kept[layer] for layer in layers], 1).cpu()

    found: Residuals = torch.empty(len(places), len(layers), len(rows), int(model.cfg.d_model))
    with ablated(model, condition):
        for indices, residuals in each_batch(batched(rows, batch_size=batch_size, length=row_length), read):
            found[:, :, indices] = residuals
    return found


def _score(
    residual: Residuals,
    mean: Float[Tensor, "place layer d_model"],
    scale: Float[Tensor, "place layer d_model"],
    direction: Float[Tensor, "place layer d_model"],
) -> Float[Tensor, "place layer prompt"]:
    """(x − mean) / scale · direction, as `Probe.score`."""
    standard = (residual - mean[:, :, None]) / scale[:, :, None]
    return (standard @ direction[..., None])[..., 0]

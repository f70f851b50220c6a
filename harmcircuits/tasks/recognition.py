"""Many-shot recognition: the request alone, after labelled requests in plain text. No chat frame, no prefill, no response.

The shots' keys and values are computed once a draw (and condition), and every request continues from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Example, Prompt, Row, batched, encode, make_batch, map_batches, start_ids
from ..models.gradient_checks import check_finite
from ..models.prefix_cache import BridgePast, HookedPast, read_prefix
from ..models.protocol import HookedModel, context_length, logits_at
from ..notebook import clipped
from .formats import ShotFormat, common_label_ids, label_ids

SEPARATOR = "\n\n"


class ShotError(ValueError):
    """Too few labelled requests to make the shots of."""


@dataclass(frozen=True)
class Shots:
    """Labelled requests in several random draws, and the format they are written in; `frozen` once chosen."""

    form: ShotFormat
    draws: tuple[tuple[tuple[str, bool], ...], ...]

    def __repr__(self) -> str:
        return f"Shots({clipped(self.form.name, 50)!r}, {len(self.draws)} draws)"

    def text(self, draw: int) -> str:
        """One draw as it is read."""
        heading = [self.form.heading] if self.form.heading else []
        return SEPARATOR.join([*heading, *(self.written(request, harmful) for request, harmful in self.draws[draw])])

    def asked(self, request: str) -> str:
        """A request up to its label."""
        return self.form.text.replace("{request}", request)

    def written(self, request: str, harmful: bool) -> str:
        """A shot: request and label."""
        return self.asked(request) + (self.form.harmful if harmful else self.form.harmless)


def make_shots(prompts: Sequence[Prompt], form: ShotFormat, *, draws: int = 4, seed: int = 0) -> Shots:
    """`draws` random orders of balanced shots: half harmful requests, half benign (near twins of the same triples where
    there are any, so that topic words say nothing).

    Raises:
        ShotError: too few prompts of either kind, or a format with fewer than two shots.
    """
    if form.n_shots < 2:
        raise ShotError(f"a format with {form.n_shots} shots cannot show both labels: give it two or more.")
    harmful = [prompt for prompt in prompts if prompt.role == "harmful"]
    near = {prompt.group: prompt for prompt in prompts if prompt.role == "near" and prompt.group}
    paired = [prompt for prompt in harmful if prompt.group in near]
    benign = [prompt for prompt in prompts if prompt.role != "harmful"]
    half = form.n_shots // 2
    if max(len(paired), min(len(harmful), len(benign))) < half:
        raise ShotError(
            f"{form.n_shots} shots need {half} harmful and {half} benign training requests; there are {len(harmful)} and "
            f"{len(benign)}. Give a larger training split, or a format with fewer shots."
        )
    drawn = []
    for draw in range(draws):
        random = Random(f"{seed} {draw}")
        if len(paired) >= half:
            chosen = random.sample(paired, half)
            shots = [(prompt.request, True) for prompt in chosen] + [(near[prompt.group].request, False) for prompt in chosen]
        else:
            shots = [(prompt.request, True) for prompt in random.sample(harmful, half)]
            shots += [(prompt.request, False) for prompt in random.sample(benign, half)]
        drawn.append(tuple(random.sample(shots, len(shots))))
    return Shots(form, tuple(drawn))


@torch.no_grad()
def many_shot(
    model: HookedModel, prompts: Sequence[Prompt | Example], shots: Shots, *, batch_size: int = 24
) -> Float[Tensor, " prompt"]:
    """ln p(harmful label) − ln p(harmless label) of each request, in nats, the mean over the draws; positive: "harmful".

    Raises:
        FormatError: no token tells the two labels apart.
        ModelError: log-odds that are not a number.
        ShotError: shots and request together are longer than the model's context.
    """
    harmful, harmless = label_ids(model, shots.form)
    rows = [label_row(asked_ids(model, shots, prompt.request), harmful) for prompt in prompts]
    check_length(model, shots, max(map(len, rows)))
    odds = torch.zeros(len(rows))
    for draw in range(len(shots.draws)):
        before = shot_ids(model, shots, draw)
        past = read_prefix(model, torch.tensor(before))
        read = partial(_after_shots, model, rows, before, past, (harmful, harmless))
        for indices, found in map_batches(batched(rows, batch_size=batch_size), read):
            odds[indices] += found / len(shots.draws)
    return odds


def _after_shots(
    model: HookedModel,
    rows: Sequence[Row],
    before: Sequence[int],
    past: BridgePast | HookedPast,
    labels: tuple[int, int],
    indices: Sequence[int],
) -> Float[Tensor, " b"]:
    """The log-odds of the two labels after some of `rows`, which continue from `past`, the shots `before`."""
    batch = make_batch(model, [rows[index] for index in indices])
    repeated = past.repeated(len(indices))
    logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions, past=repeated).float()
    found = (logits[:, labels[0]] - logits[:, labels[1]]).cpu()
    own = [(*before, *rows[index].tokens) for index in indices]
    check_finite(model, found, what="many-shot recognition", examples=indices, rows=own)
    return found


def shot_ids(model: HookedModel, shots: Shots, draw: int) -> list[int]:
    """What every request continues from, beginning as the tokenizer begins a text."""
    return [*start_ids(model), *encode(model, shots.text(draw))]


def check_length(model: HookedModel, shots: Shots, longest: int) -> None:
    """Raises ShotError where the shots and `longest` further tokens are more than the model's context holds."""
    length = max(len(shot_ids(model, shots, draw)) for draw in range(len(shots.draws))) + longest
    context = context_length(model)
    if context and length > context:
        raise ShotError(
            f"{shots.form.n_shots} shots and the longest request are {length} tokens, and the model's context holds {context}: "
            "choose a format with fewer shots"
        )


def asked_ids(model: HookedModel, shots: Shots, request: str) -> list[int]:
    """What follows the shots, up to where the two labels part.

    The separator is encoded with the text after it, as it is between two shots: alone at the end of the shots its line ends
    would become one token in many tokenizers, and the last request would look unlike the others.
    """
    return [*encode(model, SEPARATOR + shots.asked(request)), *common_label_ids(model, shots.form)]


def label_row(asked: Sequence[int], label: int) -> Row:
    """A row of which the last token, the label, is asked."""
    return Row((*asked, label), len(asked), len(asked) + 1)

"""Many-shot recognition: the request alone, after labelled requests in plain text. No chat, no prefill, no response.

The labels are words (" harmful", " safe"), half of the shots each, so that saying "No" more often changes nothing. The shots'
keys and values are computed once a draw and condition, and every request continues from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.metrics import BoundMetric, label_loss
from ..data import Example, Prompt, encode, start_ids
from ..errors import HarmcircuitsError
from ..models.forward import read_prefix
from ..models.protocol import HookedModel, context_length
from .reading import Reading
from .recognition import Question, label_ids, log_odds

SHOT, SEPARATOR = Question("Request: {request}\nLabel:", "", " harmful", " safe"), "\n\n"


@dataclass(frozen=True)
class Shots:
    """Labelled requests (request, harmful?) in several random draws."""

    draws: tuple[tuple[tuple[str, bool], ...], ...]

    def __repr__(self) -> str:
        return f"Shots({len(self.draws)} draws of {len(self.draws[0])})"

    def tokens(self, model: HookedModel, draw: int) -> list[int]:
        """What every request continues from, beginning as the tokenizer begins a text."""
        shots = [SHOT.about(text) + (SHOT.harmful if harmful else SHOT.harmless) for text, harmful in self.draws[draw]]
        return [*start_ids(model), *encode(model, SEPARATOR.join(shots))]


def make_shots(prompts: Sequence[Prompt], *, n_shots: int = 32, draws: int = 1, seed: int = 0) -> Shots:
    """Return random orders of balanced shots: half harmful requests, half benign (matched ones of the same triples where there
    are any, so that topic words say nothing).

    Raises:
        HarmcircuitsError: too few prompts of either kind, or fewer than two shots.
    """
    if n_shots < 2:
        raise HarmcircuitsError(f"{n_shots} shots cannot show both labels: give two or more.")
    harmful = [prompt for prompt in prompts if prompt.role == "harmful"]
    near = {prompt.group: prompt for prompt in prompts if prompt.role == "near" and prompt.group}
    paired = [prompt for prompt in harmful if prompt.group in near]
    benign = [prompt for prompt in prompts if prompt.role != "harmful"]
    half = n_shots // 2
    if max(len(paired), min(len(harmful), len(benign))) < half:
        raise HarmcircuitsError(
            f"{n_shots} shots need {half} harmful and {half} benign training requests; there are {len(harmful)} and "
            f"{len(benign)}. Give a larger training split, or fewer shots."
        )
    orders = []
    for draw in range(draws):
        random = Random(f"{seed} {draw}")
        if len(paired) >= half:
            chosen = random.sample(paired, half)
            shots = [(prompt.request, True) for prompt in chosen] + [(near[prompt.group].request, False) for prompt in chosen]
        else:
            shots = [(prompt.request, True) for prompt in random.sample(harmful, half)]
            shots += [(prompt.request, False) for prompt in random.sample(benign, half)]
        orders.append(tuple(random.sample(shots, len(shots))))
    return Shots(tuple(orders))


def request_tokens(model: HookedModel, request: str) -> list[int]:
    """Return what follows the shots, up to where the two labels part.

    The separator is encoded with the text after it, as it is between two shots: alone at the end of the shots its line ends
    would become one token in many tokenizers, and the last request would look unlike the others.
    """
    common, *_ = label_ids(model, SHOT)
    return [*encode(model, SEPARATOR + SHOT.about(request)), *common]


def check_length(model: HookedModel, shots: Shots, requests: Sequence[str]) -> None:
    """Raise HarmcircuitsError where the shots and the longest request are more than the model's context holds."""
    longest = 1 + max(len(request_tokens(model, request)) for request in requests)
    length = max(len(shots.tokens(model, draw)) for draw in range(len(shots.draws))) + longest
    context = context_length(model)
    if context and length > context:
        raise HarmcircuitsError(
            f"{len(shots.draws[0])} shots and the longest request are {length} tokens, and the model's context holds "
            f"{context}: choose fewer shots"
        )


@torch.no_grad()
def many_shot(
    model: HookedModel, prompts: Sequence[Prompt | Example], shots: Shots, *, batch_size: int = 24
) -> Float[Tensor, " prompt"]:
    """Return ln p(harmful label) − ln p(harmless label) of each request, in nats, the mean over the draws; positive: "harmful".

    Raises:
        HarmcircuitsError: no token tells the two labels apart; log-odds that are not a number; shots and request together are
            longer than the model's context.
    """
    check_length(model, shots, [prompt.request for prompt in prompts])
    rows, odds = [request_tokens(model, prompt.request) for prompt in prompts], torch.zeros(len(prompts))
    for draw in range(len(shots.draws)):
        past = read_prefix(model, torch.tensor(shots.tokens(model, draw)))
        odds += log_odds(model, rows, SHOT, past=past, batch_size=batch_size)[0] / len(shots.draws)
    return odds


@dataclass(frozen=True)
class ManyShot(Reading):
    """Column `many_shot`: ln p(harmful label) − ln p(harmless label) after the shots, nats; positive: "harmful"."""

    name = "many_shot"
    prompts: tuple[Prompt, ...]
    shots: Shots

    def values(self, model: HookedModel) -> dict[str, Any]:
        return {"many_shot": many_shot(model, self.prompts, self.shots)}


@dataclass(frozen=True)
class RecognitionMetric:
    """−ln p(right label) after shots and request, p over the two labels alone (first draw of the shots), in nats.

    A > 0: the component promotes recognition, the loss of the right label rises without it. Prompts of role "harmful" are
    harmful, all others are not. L = ln(1 + exp(−s · odds)), s = +1 where the right label is "harmful".
    """

    shots: Shots

    def for_model(self, model: HookedModel, examples: Sequence[Any]) -> BoundMetric:
        before = self.shots.tokens(model, 0)
        rows = [[*before, *request_tokens(model, example.request)] for example in examples]
        return label_loss(model, examples, rows, label_ids(model, SHOT)[1:])


def recognition_metric(shots: Shots | Sequence[Prompt], *, n_shots: int = 16) -> RecognitionMetric:
    """Return the loss of the right label after shots, for `hc.attribute(model, prompts, metric=…)`: see `RecognitionMetric`.

    Args:
        shots: what `make_shots` gave, or labelled prompts, of which `n_shots` are drawn.

    Raises:
        HarmcircuitsError: too few labelled prompts.
    """
    return RecognitionMetric(shots if isinstance(shots, Shots) else make_shots(shots, n_shots=n_shots))

"""What tests ask of a toy ladder: rises of the loss, how few components halve harmful writing, and what it says unasked."""

from collections.abc import Sequence
from typing import Any

from harmcircuits.ablation.hooks import ablated
from harmcircuits.attribution.exact import exact_attribution
from harmcircuits.attribution.scores import Attribution
from harmcircuits.components import Circuit
from harmcircuits.elicitation import elicit
from harmcircuits.examples import Example, loss
from harmcircuits.organisms.toys import Ladder
from harmcircuits.selection.protected import select
from harmcircuits.tasks.refusal import without_prefill

HEADS = [(layer, head) for layer in range(2) for head in range(8)]
NEURONS = [(layer, neuron) for layer in range(2) for neuron in range(64)]
PROTECT = {"heads": 4 / 16, "neurons": 0.05}


def rise(model: Any, circuit: Circuit, examples: Sequence[Example]) -> float:
    intact = loss(model, examples).mean()
    with ablated(model, circuit):
        return float(loss(model, examples).mean() - intact)


def fewest(ladder: Ladder, name: str, model: Any) -> tuple[int, int]:
    """How few heads, and how few neurons, in order of their exact A, halve harmful writing, kind words protected.

    Half: of the rise without all that writes harm.
    """
    harmful, near = ladder.answered("harmful", n=16), ladder.answered("near", n=16)
    half = rise(model, ladder.truth[name].writing, harmful) / 2
    scores, protect = exact(model, harmful), exact(model, near)
    size = lambda kind, most: next(
        n for n in range(1, most) if rise(model, selected(scores, protect, **{kind: n}), harmful) >= half
    )
    return size("heads", 8), size("neurons", 64)


def exact(model: Any, examples: Sequence[Example]) -> Attribution:
    return exact_attribution(model, examples, heads=HEADS, neurons=NEURONS)


def selected(scores: Attribution, protect: Attribution, *, heads: int = 0, neurons: int = 0) -> Circuit:
    return select(scores, protect=protect, heads=heads, neurons=neurons, protect_fraction=PROTECT)


def said(ladder: Ladder, model: Any, role: str) -> set[str]:
    """The likeliest first three words to eight requests with nothing put in its mouth."""
    asked = without_prefill([prompt for prompt in ladder.prompts if prompt.role == role][:8])
    return {example.response for example in elicit(model, asked, max_new_tokens=3, temperature=0, cache=False)}

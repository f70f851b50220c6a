"""The scores that circuits and nulls are selected from, one example a training triple and role."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..attribution.first_order import attribute
from ..attribution.metrics import ModelMetric
from ..attribution.scores import Attribution
from ..circuits import Circuit
from ..circuits.selection import select
from ..data import Example, Prompt, PromptSet
from ..data.elicit import elicit
from ..models.protocol import HookedModel
from .kept import Kept
from .settings import ClaimSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scores:
    """Attributions of the same triples in the same order: `harmful`, `near`, `far` of L, `recognition` of the label's loss."""

    harmful: Attribution
    near: Attribution
    far: Attribution
    recognition: Attribution | None

    def __repr__(self) -> str:
        return f"Scores({', '.join(self.parts)}: {self.harmful.n_examples} triples)"

    @property
    def parts(self) -> dict[str, Attribution]:
        """By name, those that there are."""
        named = {"harmful": self.harmful, "near": self.near, "far": self.far, "recognition": self.recognition}
        return {name: scores for name, scores in named.items() if scores is not None}

    @classmethod
    def load(cls, folder: Path) -> "Scores":
        """Reads the parts that were saved under their names."""
        harmful, near, far = (Attribution.load(folder / f"{name}.safetensors") for name in ("harmful", "near", "far"))
        last = folder / "recognition.safetensors"
        return cls(harmful, near, far, Attribution.load(last) if last.exists() else None)

    @property
    def benign(self) -> Attribution:
        return self.near + self.far


def chosen_triples(prompts: PromptSet, n: int, *, seed: int) -> PromptSet:
    """At most `n` triples, each category in proportion, in an order of which every beginning is spread over the categories:
    some readings are taken on the first few triples only, which in a file's own order would be of one category."""
    few = prompts.sample(min(n, len(prompts.triples)), seed=seed)
    size, seen = Counter(triple.category for triple in few.triples), Counter[str]()
    place: dict[str, tuple[float, str]] = {}
    for triple in few.triples:
        place[triple.group] = ((seen[triple.category] + 0.5) / size[triple.category], triple.category)
        seen[triple.category] += 1
    return PromptSet(tuple(sorted(few, key=lambda prompt: place[prompt.group])), few.name)


def triple_prompts(prompts: PromptSet) -> list[Prompt]:
    """Harmful, near, far of the first triple, then of the next, …"""
    return [prompt for triple in prompts.triples for prompt in (triple.harmful, triple.near, triple.far)]


def training_examples(
    model: HookedModel, train: PromptSet, settings: ClaimSettings, *, progress: bool = False
) -> tuple[list[Example], list[Example]]:
    """What writing is attributed on, and what probes and recognition are: whole triples as `respond` gives them, written at
    `attribution_temperature`, and twins (harmful, near, harmful, …), sampled as those that are tested.

    Both begin with the same triples; the longer one holds further ones.
    """
    whole, probed = training_triples(train, settings)
    examples = respond(model, whole, settings, temperature=settings.attribution_temperature, progress=progress)
    asked = [prompt for prompt in triple_prompts(probed) if prompt.role != "far"]
    return examples, elicit(model, asked, max_new_tokens=settings.max_new_tokens, seed=settings.seed, progress=progress)


def training_triples(train: PromptSet, settings: ClaimSettings) -> tuple[PromptSet, PromptSet]:
    """Those that writing is attributed on, and those whose twins probes are trained on: both begin with the same ones."""
    chosen = chosen_triples(train, max(settings.attribution_triples, settings.probe_triples), seed=settings.seed)
    return first_triples(chosen, settings.attribution_triples), first_triples(chosen, settings.probe_triples)


def first_triples(prompts: PromptSet, n: int) -> PromptSet:
    """The first `n` triples, in the set's own order."""
    kept = {triple.group for triple in prompts.triples[:n]}
    return PromptSet(tuple(prompt for prompt in prompts if prompt.group in kept), prompts.name)


def respond(
    model: HookedModel, prompts: PromptSet, settings: ClaimSettings, *, temperature: float = 1.0, progress: bool = False
) -> list[Example]:
    """The model's own responses to all triples, in the order of `triple_prompts`; cached."""
    asked, length = triple_prompts(prompts), settings.max_new_tokens
    return elicit(model, asked, max_new_tokens=length, temperature=temperature, seed=settings.seed, progress=progress)


def score(
    model: HookedModel,
    examples: Sequence[Example],
    twins: Sequence[Example],
    settings: ClaimSettings,
    *,
    aim: ModelMetric | None,
    kept: Kept | None = None,
    progress: bool = False,
) -> Scores:
    """Attributes the responses of training triples, and with `aim` (a loss of the right label) recognition.

    `examples` and `twins` lie as `training_examples` gives them; recognition is scored on the first `aim_triples` twins.
    What is `kept` from before is not scored again.
    """
    kept = kept or Kept()
    whole = partial(attribute, model, examples, progress=progress)
    by_role = kept.file("scores", whole, load=Attribution.load, save=Attribution.save)
    harmful, near, far = (by_role[list(range(at, len(examples), 3))] for at in range(3))
    recognition = None
    if aim is not None:
        some = twins[: 2 * settings.aim_triples]
        aimed = partial(attribute, model, some, metric=aim, batch_size=4, progress=progress)
        recognition = kept.file("recognition", aimed, load=Attribution.load, save=Attribution.save)
    return Scores(harmful, near, far, recognition)


def recipe(target: Attribution, protect: Attribution, settings: ClaimSettings, *, heads: int, neurons: int) -> Circuit:
    """The one recipe of every aim: the same counts and protection, whatever the target."""
    return select(target, protect=protect, heads=heads, neurons=neurons, protect_fraction=settings.protect)

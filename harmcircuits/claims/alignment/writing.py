"""On whose responses a stage is measured: its own, or those that one stage wrote for all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from ...data import Example
from ...experiments.instruments import choose_instruments
from ...experiments.scores import chosen_triples, respond, score, training_examples
from ...models.protocol import HookedModel, vocabulary
from ..material import Material

Reading: TypeAlias = Literal["own", "fixed"]
READINGS: tuple[Reading, ...] = get_args(Reading)


@dataclass(frozen=True, eq=False, kw_only=True)
class Written:
    """What one stage wrote, as token ids, whole after its model is gone.

    Attributes:
        by: the stage's name.
        tokens: its tokenizer's ids.
        training: responses that circuits are found on (`Material.training`).
        twins, heard: responses that the readings of recognition are fitted and chosen on.
        examples: responses of the test triples.
    """

    by: str
    tokens: dict[str, int]
    training: Sequence[Example]
    twins: Sequence[Example]
    heard: Sequence[Example]
    examples: Sequence[Example]


def written(material: Material, by: str) -> Written:
    """What `prepare` let the model write; no model writes twice, the responses are cached."""
    model, settings = material.model, material.settings
    few = chosen_triples(material.development, settings.development_triples, seed=settings.seed)
    return Written(
        by=by,
        tokens=token_ids(model),
        training=material.training,
        twins=training_examples(model, material.train, settings)[1],
        heard=[one for one in respond(model, few, settings) if one.role != "far"],
        examples=material.examples,
    )


def read_by(material: Material, source: Written, *, progress: bool = False) -> Material:
    """The stage's material on the responses of another: scores, instruments of recognition and what is tested are all of these.

    The circuit is still the stage's own: what its components do for these responses.
    """
    model, settings = material.model, material.settings
    twins, heard = source.twins, source.heard
    instruments = choose_instruments(model, material.train, material.development, twins, heard, settings, many_shot=False)
    scores = score(model, source.training, twins, settings, aim=instruments.aim, progress=progress)
    return replace(material, training=source.training, examples=source.examples, instruments=instruments, scores=scores)


def unreadable(model: HookedModel, source: Written) -> str:
    """Why a stage cannot read the responses, which are token ids; "" where it can."""
    own = token_ids(model)
    if own == source.tokens:
        return ""
    return (
        f"its tokenizer is not that of {source.by}, whose responses are read ({len(own):,} and {len(source.tokens):,} tokens): "
        "the same ids would be other words. Compare checkpoints of one tokenizer"
    )


def token_ids(model: HookedModel) -> dict[str, int]:
    """Each token with its id."""
    return dict(vocabulary(model).get_vocab())

"""`dissociated`: the claim from a model to an answer."""

from collections.abc import Sequence
from pathlib import Path

from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...prompts.promptset import PromptSet
from ...statistics import auroc_estimate
from ...store import alone_in_folder
from ...tasks.teacher_forced import INTACT
from ..material import Material, prepare
from ..reading import read
from .aims import EXPLAINED, GRAINS, checked
from .claim import Dissociated, grains_frame, sentence, values_of
from .conditions import Built, build
from .crossing import crossed_frames, frontier_frame, with_explanations
from .measured import conditions_frame, means_frame, measure, readings_frame, triples_frame
from .rule import decide


@alone_in_folder
def dissociated(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    grains: Sequence[str] = GRAINS,
    explained: int = EXPLAINED,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Dissociated:
    """Does the model still recognise the very text that it can no longer write? At each grain, in three ways:

    1. *the same tokens, two readouts*: r = L ablated − L intact of each harmful response, nats per token, and s, the primary
       reading of recognition after those very tokens (positive: "harmful"). Among the half of the test triples with the largest
       r: AUROC of s, harmful against near, ablated − intact. Over all triples: Spearman's correlation of r with
       (s_harmful − s_near) intact − ablated. The same under the circuit aimed at recognition, which must show falls.
    2. *crossed*: the recipe aimed at generation, recognition and explanation × the tasks that fall (`experiments.crossed`).
    3. *at equal damage*: every condition at several strengths, and brought to the same rise on far twins (`solve`).

    Controls of the same recipe: aimed at twins; and matched random. `found` is what `decide` says of the first of the grains,
    at the full 5 %. The others stand beside it: p values adjusted and equivalence tested at 5 % shared out among them;
    whatever they show, `found` stays.

    Args:
        prompts: whole triples; None: the built-in ones.
        grains: some of `GRAINS`; the first one decides.
        explained: test requests whose explanation is read; fewer than 3: none, and no circuit is aimed at it.
        settings: sizes, as of `dissociate`; not used where `material` is given.
        judge: of what conditions write.
        folder: for what is finished, so that a run that was stopped can go on.
        name: the model's name in results.
        reproduce: what can be typed to get the same again.
        material: what `prepare` gave, used as it is.

    Raises:
        ClaimError: no grain or an unknown one, a number of explanations that is none; before anything is computed.
        ExperimentError, PromptError, ElicitError, ModelError: as `prepare`.
        StoreError: the folder cannot be written.

    Source: arXiv 2604.09544, which crosses generation with detection and explanation.
    """
    chosen = checked(grains, explained)
    if material is None:
        material = prepare(model, prompts, settings=settings, judge=judge, folder=folder, name=name, progress=progress)
    built = build(material, chosen, explained, progress=progress)
    found = read(material, built.conditions(), progress=progress)
    crossed, interactions = crossed_frames(found, with_explanations(found, built), built)
    measured = measure(found, built)
    decisions = [decide(grain.evidence) for grain in measured]
    word = decisions[0].found
    scores = found.recognised(INTACT)
    own = {"grains": list(chosen), "explained": explained, "primary": material.instruments.primary}
    return Dissociated(
        found=word,
        sentence=sentence(word, measured, decisions),
        values=values_of(measured, auroc_estimate(scores[:, 0], scores[:, 1], **material.bootstrap)),
        tables={
            "grains": grains_frame(measured, decisions),
            "conditions": conditions_frame(found, built, measured),
            "triples": triples_frame(found, measured),
            "means": means_frame(found, measured),
            "crossed": crossed,
            "interactions": interactions,
            "frontier": frontier_frame(material, built, progress=progress),
            "readings": readings_frame(found, measured),
        },
        model=material.about,
        settings=material.settings.as_dict() | own | material.origins,
        command=reproduce,
        limits=_limits(material, built),
    )


def _limits(material: Material, built: Built) -> tuple[str, ...]:
    """What a reader should know before quoting it."""
    said = [
        f"Recognition is read by one instrument ({material.instruments.reading}), chosen on the development triples.",
        "The upper half is chosen by its rise of L under the circuit itself: what is said of it holds of the responses that "
        "this circuit hurts most.",
        "One draw of the matched random circuit stands beside each circuit; `dissociate` has a null of many.",
        "A rise of L makes a response less likely; it does not by itself say that no harmful text is written.",
    ]
    if len(built.made) > 1:
        first, *others = built.made
        said.append(
            f"{first.capitalize()}, the first of the grains, alone decide, at 5 %. Beside them, deciding nothing: "
            f"{', '.join(others)}; among these p values are adjusted, and equivalence is tested at 5 % shared out."
        )
    if built.unexplained:
        said.append(f"Explanation was not read: {built.unexplained}.")
    unmade = [
        f"{grain} {aim} ({off})" for grain, made in built.made.items() for aim, off in made.items() if isinstance(off, str)
    ]
    if unmade:
        said.append(f"Not built: {'; '.join(unmade)}.")
    return tuple(said)

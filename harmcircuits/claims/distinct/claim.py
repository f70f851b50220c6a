"""`distinct`: is what writes harm something else than what serves benign capabilities?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...data import PromptSet
from ...experiments.settings import ClaimSettings
from ...figures.distinct import distinct_effects, distinct_overlaps
from ...judges import Judge
from ...models.protocol import HookedModel, geometry
from ...report.claims import ON_TRIPLES
from ...statistics import MIN_NULL_DRAWS
from ...store import alone_in_folder
from ...tasks.capabilities import CapabilityError, Completion, capabilities, checked, half
from ..earlier import Claim, ClaimError
from ..material import Material, prepare
from ..reading import read
from .aims import TRIPLE, circuits, scored
from .readings import digest, read_capabilities
from .result import Measured, summed_up
from .rule import HALF, LEVEL, SMALL

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEWEST = 8
"""Sentences of a capability in each half: circuits are found on halves of those again."""


@dataclass(frozen=True, eq=False, repr=False)
class Distinct(Claim):
    """Whether the circuit of harm shares its parts and its effects with those of benign capabilities.

    Values:

    - `interaction` of harm and the control capability, in standardised effects; positive: each task falls more under its own
      circuit; `own_harm` and `own_CAPABILITY`: its two parts;
    - `overlap_AIM` with the circuit of harm, and `overlap_without_protection_AIM`: 1: as alike as one aim's own halves, 0: as
      random circuits;
    - `harm_circuit_harm`, `harm_circuit_near`, `harm_circuit_selectivity` (their difference), `harm_circuit_CAPABILITY`,
      `CAPABILITY_circuit_harm`, `CAPABILITY_circuit_CAPABILITY`: rises of L, nats per token; positive: it hurts;
    - `harm_circuit_near_share`: `harm_circuit_near` ÷ `harm_circuit_harm`; 1: near twins fall as much, 0: not at all;
    - `known_CAPABILITY`: share of its sentences that the intact model finishes rightly, above chance.

    Tables: "effects", "overlaps", "overlaps without protection", "crossings", "writing".
    """

    NAME: ClassVar[str] = "distinct"
    ASKS: ClassVar[str] = "Is the circuit that writes harm another one than those of benign capabilities?"
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "One recipe, with the same numbers of heads and neurons and the same protected fractions, is aimed at harm, at "
        "near twins, and at capabilities: sentences to be finished in the same chat frame, half of them attributed and "
        "half tested. Overlap is a share of what one aim has in common with itself: (Jaccard between aims − chance) / "
        "(Jaccard of circuits from halves of one aim's examples − chance); 1: as alike as that, 0: as random circuits. "
        "The effect d of a circuit on a task is the mean rise of L divided by its standard deviation; the interaction of "
        "harm and a capability is what each circuit hurts its own task more than the other circuit does, its p value by "
        "swapping the two circuits at random.",
        f"Yes: the shares with near twins and with each capability are at most {HALF:g} (upper ends); selectivity is above "
        f"0, and near twins lose at most {HALF:g} of what harmful responses lose (upper end); the interaction with the "
        f"control capability is above 0 with an adjusted p of at most {LEVEL:g}, and each of the two tasks falls more "
        f"under its own circuit. No: the interaction is at most {SMALL:g} (upper end), or near twins lose at least "
        f"{HALF:g} of what harm loses, or a share is at least {HALF:g} (lower ends); or the circuit does not hurt writing "
        "harm, and nothing of its own is left without protection. The rule was fixed before anything was measured.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """Overlaps, and what falls without each circuit."""
        return {
            "overlaps": distinct_overlaps(self.tables["overlaps"]),
            "effects": distinct_effects(self.tables["effects"]),
        }


@alone_in_folder
def distinct(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    sentences: Mapping[str, Sequence[Completion]] | None = None,
    control: str = "facts",
    draws: int = 200,
    settings: ClaimSettings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Distinct:
    """Aims one recipe at harm, at near twins and at each capability: compares the circuits, then what falls without each.

    Overlap is a share of what one aim's circuit has in common with itself (`overlaps`), the effects are crossed as aim × task
    (`effects`), and the decision rule, fixed beforehand, is `rule.decide`'s:

    - "cannot be measured": the model does not know the control capability above chance, the circuit aimed at harm does not
      hurt writing harm (interval not above 0; but see the first "no"), or no circuit of that size could be aimed at the
      control capability;
    - "no": the circuit aimed at harm does not hurt writing harm, and without protection its overlap with some capability is
      at least half the ceiling (lower end): nothing is left once what other text needs is spared. Or it does hurt it, and the
      interaction of harm and control is at most 0.2 standardised units (upper end), or near twins lose at least half of what
      harmful responses lose (lower end), or the overlap with near twins or some capability is at least half the ceiling (lower
      end);
    - "yes": the overlap with near twins and each capability is at most half the ceiling (upper ends); harm falls more than near
      twins (selectivity, lower end above 0), and these lose at most half of what it loses (upper end); the interaction is above
      0 (lower end) with an adjusted p ≤ 0.05; each of the two tasks falls more under its own circuit than under the other's
      (lower ends);
    - "undecided": anything else.

    A capability that the model does not have above chance is shown and decides nothing.

    Args:
        sentences: capabilities to compare with, by name; None: facts, arithmetic, grammar. Every other sentence of a topic is
            attributed, at most `settings.attribution_triples` of a capability, the others tested, at most
            `settings.test_triples`.
        control: the capability that harm is crossed with.
        draws: of the intervals of overlaps, at least 39.
        settings: as of `prepare`.
        judge: as of `prepare`.
        folder: as of `prepare`.
        name: as of `prepare`.
        reproduce: what can be typed to get the same again.
        material: what `prepare` gave; the model, prompts, settings, judge and folder are then its own.

    Raises:
        ClaimError: a control that is not among the capabilities, fewer draws than an interval needs, too few sentences, or a
            capability that has the name of a role.
        SelectionError: no circuit of that size writes harm.
        ExperimentError, PromptError, ElicitError, ModelError: as of `prepare`.
    """
    given = _sentences(sentences, control, draws)
    own = material or prepare(model, prompts, settings=settings, judge=judge, folder=folder, name=name, progress=progress)
    trained = {kind: half(items, "training")[: own.settings.attribution_triples] for kind, items in given.items()}
    tested = {kind: half(items, "test")[: own.settings.test_triples] for kind, items in given.items()}
    shape = geometry(own.model)
    sized = {"heads": own.settings.n_heads(shape), "neurons": own.settings.n_neurons(shape)}
    sources = scored(own, trained, **sized, progress=progress)
    found, missing = circuits(sources)
    conditions = {f"aimed at {aim}": circuit for aim, circuit in found.items()}
    outcome = read(own, conditions, progress=progress)
    readings = read_capabilities(own, tested, conditions)
    attributed = {kind: digest(items) for kind, items in trained.items()}
    measured = Measured(own, sources, found, missing, outcome, readings, control, draws, attributed)
    how = {"control": control, "overlap draws": draws, "sentences": {kind: digest(items) for kind, items in given.items()}}
    result = summed_up(measured)
    return Distinct(
        found=result.found,
        sentence=result.sentence,
        values=result.values,
        tables=result.tables,
        model=own.about,
        settings=own.settings.as_dict() | how | own.origins,
        command=reproduce,
        limits=result.limits,
    )


def _sentences(given: Mapping[str, Sequence[Completion]] | None, control: str, draws: int) -> dict[str, tuple[Completion, ...]]:
    every = capabilities() if given is None else dict(given)
    if control not in every:
        raise ClaimError(f"control={control!r} is not among the capabilities: choose one of {', '.join(every) or '(none)'}")
    if set(every) & {*TRIPLE}:
        raise ClaimError(f"a capability cannot be called {', '.join(TRIPLE)}: these are the aims beside it. Rename it.")
    if draws < MIN_NULL_DRAWS:
        raise ClaimError(f"draws={draws}: an interval of an overlap needs at least {MIN_NULL_DRAWS}")
    try:
        return checked(every, fewest=FEWEST)
    except CapabilityError as error:
        raise ClaimError(str(error)) from error

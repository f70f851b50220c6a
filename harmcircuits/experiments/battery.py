"""Every reading of every condition on the test triples: one frame of per-prompt outcomes, and the arrays made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from ..ablation.hooks import ablated
from ..components import Circuit
from ..examples import Example
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from ..tasks.information import swapped_requests
from ..tasks.recognition import many_shot
from ..tasks.teacher_forced import INTACT, teacher_forced
from ..tasks.writing import write_and_read
from .instruments import PROBES, Instruments
from .scores import triple_prompts
from .settings import Settings

RULES = ("on_task", "refusal", "degenerate")
KEY = ["condition", "example"]
WHO = ("group", "category", "harm_group", "role")


SHOT_CONTROLS = ("many_shot_shuffled", "many_shot_arbitrary")
RESPONSES = ["condition", *WHO, "response"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """`frame`: one row a condition and prompt, triples in order, each harmful, near, far; `responses` separate."""

    frame: pd.DataFrame
    responses: pd.DataFrame

    def by_triple(self, condition: str) -> dict[str, Float[np.ndarray, "triple role"]]:
        """Each reading of one condition as an array; roles in the order harmful, near, far."""
        rows = self.frame[self.frame["condition"] == condition]
        readings = [column for column in rows.columns if column not in ("condition", *WHO)]
        return {column: rows[column].to_numpy(dtype=float).reshape(-1, 3) for column in readings}


def read_conditions(
    model: HookedModel,
    test: PromptSet,
    examples: Sequence[Example],
    circuits: Mapping[str, Circuit],
    instruments: Instruments,
    settings: Settings,
    *,
    progress: bool = False,
) -> Outcomes:
    """All readings of the intact model and of each circuit. `examples` lie as `respond(model, test)` gives them.

    Columns: nll, kl, nll_other (under another request), in_place, probe and probe_request, many_shot, on_task, refusal,
    degenerate; NaN where a reading was not taken (rules: on the first `written_triples` triples' harmful and near prompts;
    many_shot_shuffled and many_shot_arbitrary, the controls of the shots: of the intact model's twins).
    """
    conditions: dict[str, Circuit | None] = {INTACT: None, **circuits}
    question, probes = instruments.question, instruments.probes
    frame = teacher_forced(model, examples, conditions, question=question, probes=probes, progress=progress)
    frame = frame.assign(**{name: np.nan for name in PROBES if name not in probes}, **dict.fromkeys(SHOT_CONTROLS, np.nan))
    frame = frame.merge(_under_other_requests(model, examples, conditions, settings, progress), on=KEY, how="left")
    stages = tqdm(conditions.items(), desc="recognise and write", unit="condition", disable=not progress)
    parts = [_under(model, test, name, circuit, instruments, settings) for name, circuit in stages]
    frame = frame.merge(pd.concat(parts), on=KEY, how="left")
    for control, shots in instruments.shot_controls.items():
        asked = (frame["condition"] == INTACT) & (frame["example"] % 3 < 2)
        frame.loc[asked, control] = many_shot(model, [examples[at] for at in frame.loc[asked, "example"]], shots).numpy()
    who = pd.DataFrame([{column: getattr(example, column) for column in WHO} for example in examples]).rename_axis("example")
    frame = frame.merge(who.reset_index(), on="example", how="left")
    responses = frame.loc[frame["response"].notna(), RESPONSES].reset_index(drop=True)
    return Outcomes(frame.drop(columns=["example", "response"]), responses)


def _under_other_requests(
    model: HookedModel,
    examples: Sequence[Example],
    conditions: Mapping[str, Circuit | None],
    settings: Settings,
    progress: bool,
) -> pd.DataFrame:
    """`nll_other`: the loss of the same responses under another request of their category; harmful and near only."""
    asked = [index for index, example in enumerate(examples) if example.role != "far"]
    other = swapped_requests([examples[index] for index in asked], seed=settings.seed)
    found = teacher_forced(model, other, conditions, progress=progress).rename(columns={"nll": "nll_other"})
    return found.assign(example=[asked[index] for index in found["example"]])[[*KEY, "nll_other"]]


def _under(
    model: HookedModel, test: PromptSet, name: str, circuit: Circuit | None, instruments: Instruments, settings: Settings
) -> pd.DataFrame:
    """What needs a pass of its own: many-shot recognition and free writing."""
    prompts = triple_prompts(test)
    found = pd.DataFrame({"condition": name, "example": range(len(prompts))})
    twins = [index for index in range(len(prompts)) if index % 3 < 2]
    with ablated(model, circuit):
        found["many_shot"] = many_shot(model, prompts, instruments.shots).numpy().astype(float) if instruments.shots else np.nan
        written = twins[: 2 * settings.written_triples]
        rules = write_and_read(
            model, [prompts[index] for index in written], max_new_tokens=settings.max_new_tokens, seed=settings.seed + 1
        )
    return found.join(rules.set_index(pd.Index(written)))

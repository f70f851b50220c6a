"""What is planned of whole commands, against the passes that a tiny model makes when they are run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from shell import call, told
from test_readings import LOOSE
from tiny import tiny_bridge, tiny_model
from triples import SETTINGS, make_triples

import harmcircuits as hc
from harmcircuits import cli, elicitation
from harmcircuits.ablation import together
from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.capacity import recognition, steps
from harmcircuits.capacity.commands import COMMANDS, work_of
from harmcircuits.capacity.laid_out import sizes_of
from harmcircuits.capacity.rates import RateError
from harmcircuits.capacity.texts import Texts
from harmcircuits.capacity.work import Work
from harmcircuits.experiments import folds, readings
from harmcircuits.experiments.checks import ready_splits
from harmcircuits.experiments.settings import Settings
from harmcircuits.models import past
from harmcircuits.models.shape import shape_of
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.prompts.readers import load_prompts
from harmcircuits.tasks.explanation import explain
from harmcircuits.tasks.on_policy import on_policy
from harmcircuits.tasks.plain_text import plain_text_loss
from harmcircuits.tasks.probe_layers import layer_probes
from harmcircuits.tasks.recognition import many_shot
from harmcircuits.tasks.teacher_forced import teacher_forced
from harmcircuits.tasks.utility import utility

SHAPE = shape_of(tiny_model().config)
BUILT_IN = PromptSet(tuple(one for one in load_prompts() if one.category in ("scams", "theft")))
"""They have reference explanations, and each another one of its category."""
SIZES: dict[str, Any] = {"attribution_triples": 8, "aim_triples": 6, "many_shot_triples": 4, "explained_triples": 4, "facts": 0}
WHOLE = Settings(**vars(SETTINGS) | SIZES | {"weight_q": 0.01, "head_fraction": 0.125})
"""Batches are full, or one: a plan has no other. A fact is as many rows as its completions are different beginnings."""
RATES = {"flops": 1e11, "bandwidth": 1e10, "memory": 16e9}


@dataclass
class Seen:
    """Rows and passes that reached the last layer, and rows that were written to."""

    rows: float = 0
    passes: float = 0
    written: float = 0
    aside: int = 0


@contextmanager
def watched(model: Any, patch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Of all but writing, what a model is tried out with, and what all rows begin with: here nothing is worth sharing."""
    seen = Seen()

    def aside(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            seen.written += len(options.get("rows", ()))
            seen.aside += 1
            try:
                return function(*args, **options)
            finally:
                seen.aside -= 1

        return called

    def reached(block: object, given: object, made: Any) -> None:
        if not seen.aside:
            seen.rows += len(made[0] if isinstance(made, tuple) else made)
            seen.passes += 1

    for module, name in ((elicitation, "sample"), (together, "rows_broadcast"), (together, "unembeds_alone")):
        patch.setattr(module, name, aside(getattr(module, name)))
    for module in (past, together):
        patch.setattr(module, "WORTH_SHARING", 10**9)
    handle = model.blocks[-1].register_forward_hook(reached)
    yield seen
    handle.remove()


def planned(command: str, prompts: PromptSet, patch: pytest.MonkeyPatch, settings: Settings = WHOLE, **how: Any) -> Seen:
    """The same of a plan: as it would be if nothing were written, and what a row of writing more adds."""
    total: list[Work] = []
    for each in (0, 1):
        for module in (steps, recognition):
            patch.setattr(module, "generation", lambda shape, rows, new, element, each=each: Work(rows=each * rows.n))
        found = work_of(command, SHAPE, prompts, settings, Texts(), element=4, **how)
        total.append(sum(found.values(), Work()))
    return Seen(total[0].rows, total[0].passes, total[1].rows - total[0].rows)


def run(model: Any, settings: Settings, **how: Any) -> None:
    train, development, test = ready_splits(BUILT_IN, seed=0)
    hc.dissociate(model, None, test, train=train, development=development, settings=settings, **how)


@pytest.mark.parametrize("how", [{}, {"crossed": True}, {"folds": 2}, {"folds": 2, "crossed": True}], ids=str)
def test_a_run_of_dissociate_makes_the_passes_of_its_plan(tiny: Any, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    settings = replace(WHOLE, test_triples=WHOLE.test_triples * how.get("folds", 1))
    with watched(tiny, monkeypatch) as seen:
        run(tiny, settings, **how)
    assert planned("dissociate", BUILT_IN, monkeypatch, settings, **how) == seen


def test_equal_damage_takes_at_most_what_is_planned(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(WHOLE, damage_triples=4)
    with watched(tiny, monkeypatch) as seen:
        run(tiny, settings)
    found, without = (planned("dissociate", BUILT_IN, monkeypatch, own) for own in (settings, WHOLE))
    assert without.rows < seen.rows <= found.rows and found.written == seen.written


@pytest.mark.model
def test_a_comparison_of_readings_makes_the_passes_of_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = tiny_bridge(tmp_path / "tiny", max_position_embeddings=4096), make_triples(24)
    with watched(model, monkeypatch) as seen:
        assert readings.compare_readings(model, prompts, **readings.QUICK).remarks == ()
    found = planned("recognition", prompts, monkeypatch, quick=True)
    assert (found.rows, found.written) == (seen.rows, seen.written) and found.passes <= seen.passes
    assert planned("recognition", LOOSE, monkeypatch).rows > 0, "it needs no triples"


def test_all_commands_that_compute_have_a_plan() -> None:
    named = {command.__name__.replace("_", "-") for command in cli.COMMANDS}
    assert set(COMMANDS) == named - {"report", "plan"}


def test_batches_are_those_that_the_code_takes() -> None:
    of = lambda *functions: [sizes_of(function)["batch_size"] for function in functions]
    assert of(attribute, attribute_weights) == 2 * [steps.ATTRIBUTING] and of(hc.elicit) == [steps.WRITING]
    assert of(teacher_forced) == [steps.READING] and of(many_shot, layer_probes) == 2 * [steps.SHOWING]
    assert of(explain, on_policy, utility, plain_text_loss) == 4 * [steps.ALONE]


def test_crossed_and_folds_are_of_dissociate_and_cost_more(tmp_path: Path) -> None:
    tiny_model().config.save_pretrained(tmp_path)
    plain, crossed, dealt = (
        hc.plan(tmp_path, commands=["dissociate"], **RATES, **how) for how in ({}, {"crossed": True}, {"folds": 5})
    )
    assert plain.total("dissociate") < crossed.total("dissociate") < 2 * plain.total("dissociate")
    assert dealt.total("dissociate") > plain.total("dissociate") and (crossed.crossed, dealt.folds) == (True, 5)
    assert all(step.endswith(", 5 times") for step in dealt.steps("dissociate")["step"])
    with pytest.raises(RateError, match="crossed is of dissociate, and distinct was to be planned"):
        hc.plan(tmp_path, commands=["distinct"], crossed=True, **RATES)
    with pytest.raises(folds.ExperimentError, match="each needs at least 2: give fewer folds"):
        hc.plan(tmp_path, commands=["dissociate"], folds=150, **RATES)
    options = ("--model", tmp_path, "--flops", 1e11, "--bandwidth", 1e10)
    shown = call("plan", "dissociate", "--crossed", "--folds", 3, *options)
    assert shown.exit_code == 0 and "scores of explanation, 3 times" in " ".join(shown.output.split())
    told(call("plan", "distinct", "--folds", 3, *options), "folds is of dissociate")

"""The claim from a model to an answer: on planted models the planted truth; on a tiny one, repeatable and resumed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from shell import small, text, write
from tiny import tiny_model_folder
from triples import PROMPTS, RICH, make_triples
from typer.testing import CliRunner

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.ablation.partial import under
from harmcircuits.claims import reading
from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.dissociated import GRAINS, Dissociated, conditions, cost, crossing, dissociated, run
from harmcircuits.claims.dissociated.aims import AIMS, WRITING, name
from harmcircuits.claims.dissociated.conditions import build
from harmcircuits.claims.dissociated.measured import measure
from harmcircuits.claims.material import Material, prepare
from harmcircuits.cli.dissociated import dissociated as command
from harmcircuits.experiments.checks import EXPLANATION, MATCHED, RECOGNITION
from harmcircuits.experiments.collateral import explained
from harmcircuits.models.protocol import model_hash
from harmcircuits.organisms import planted
from harmcircuits.tasks.explanation import explain
from harmcircuits.tasks.teacher_forced import INTACT

SETTINGS = replace(RICH, head_fraction=0.2, attribution_triples=6, test_triples=6, weight_q=0.02, weight_p=0.01)


@pytest.fixture(scope="module")
def material(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("claim-cache")))
        yield prepare(tiny, make_triples(24), settings=SETTINGS, folder=tmp_path_factory.mktemp("claim"), name="tiny")


@pytest.fixture(scope="module")
def claim(tiny: Any, material: Material) -> Dissociated:
    before = model_hash(tiny)
    found = dissociated(tiny, explained=0, material=material, reproduce="this test")
    assert model_hash(tiny) == before
    return found


def of(frame: pd.DataFrame, **named: object) -> pd.DataFrame:
    for column, value in named.items():
        frame = frame[frame[column] == value]
    return frame


class TestTiny:
    def test_it_reads_as_many_conditions_as_it_costs(
        self, tiny: Any, material: Material, claim: Dissociated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def read(material: Material, conditions: Any, **options: Any) -> Any:
            asked.extend(conditions)
            return reading.read(material, conditions, **options)

        monkeypatch.setattr(run, "read", read)
        dissociated(tiny, explained=0, material=material)
        assert len(asked) == cost(explained=0, settings=SETTINGS) == 16
        assert len(claim.tables["conditions"]) == 16

    def test_a_finished_run_reads_nothing_again(
        self, tiny: Any, material: Material, claim: Dissociated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*args: object, **options: object) -> None:
            raise AssertionError("this was finished")

        for module, what in ((reading, "read_conditions"), (conditions, "_made"), (crossing, "equal_damage")):
            monkeypatch.setattr(module, what, never)
        again = dissociated(tiny, explained=0, material=material, reproduce="this test")
        assert again.document() == claim.document()

    def test_rises_and_scores_are_those_of_the_ablated_model(self, tiny: Any, material: Material, claim: Dissociated) -> None:
        built = build(material, GRAINS, 0)
        for grain in GRAINS:
            rows = of(claim.tables["triples"], grain=grain, aim=WRITING, role="harmful")
            harmful = material.examples[::3]
            with under(tiny, built.of(grain)[WRITING]):
                changed = hc.loss(tiny, harmful)
            np.testing.assert_allclose(rows["rise"], changed - hc.loss(tiny, harmful), atol=2e-5)
            np.testing.assert_allclose(rows["change"], rows["ablated"] - rows["intact"], atol=1e-9)

    def test_each_grain_is_of_its_kind_and_controls_of_its_size(self, material: Material) -> None:
        built = build(material, GRAINS, 0)
        sizes = {grain: built.of(grain) for grain in GRAINS}
        for grain, other in (("heads", "neurons"), ("neurons", "heads")):
            assert all(len(getattr(off, grain)) and not getattr(off, other) for off in sizes[grain].values())
        for grain in GRAINS[:3]:
            assert len({(len(off.heads), len(off.neurons)) for off in sizes[grain].values()}) == 1
        assert len(sizes["weights"][MATCHED]) == len(sizes["weights"][WRITING])
        assert not len(sizes["weights"][MATCHED] & sizes["weights"][WRITING])
        both = sizes["heads and neurons"][WRITING]
        assert (both.heads, both.neurons) == (sizes["heads"][WRITING].heads, sizes["neurons"][WRITING].neurons)

    def test_what_is_saved_is_what_was_found_and_draws_the_same(self, claim: Dissociated, tmp_path: Path) -> None:
        path = claim.save(tmp_path)
        again = Dissociated.load(tmp_path)
        assert again.document() == claim.document()
        drawn = claim.figures()
        assert [*drawn][:2] == ["same tokens", "heads and neurons: same tokens"]
        assert {key: figure.to_json() for key, figure in drawn.items()} == {k: f.to_json() for k, f in again.figures().items()}
        saved = path.read_text("utf-8")
        assert not any(prompt.request in saved for prompt in make_triples(24))

    def test_values_and_words_say_each_grain(self, claim: Dissociated) -> None:
        assert claim.values["intact AUROC"].n == 6
        told = [claim.sentence.index(f"{grain.capitalize()}: ") for grain in GRAINS]
        assert told[0] < claim.sentence.index("Beside it, deciding nothing:") < told[1] and told == sorted(told)
        assert claim.table()["claim"].tolist() == ["decides", *["beside"] * 3] and claim.found == claim.table()["found"].iloc[0]
        for grain in GRAINS:
            assert claim.values[f"{grain}: change, same tokens"].n == 3
        assert any(limit.startswith("Heads and neurons, the first of the grains, alone decide") for limit in claim.limits)
        assert any("explained is 0" in limit for limit in claim.limits)
        assert claim.command == "this test" and claim.settings["grains"] == list(GRAINS)

    def test_the_first_grain_is_tested_as_if_it_were_alone(self, material: Material) -> None:
        every = build(material, GRAINS, 0)
        found = reading.read(material, every.conditions())
        part = lambda *grains: measure(found, replace(every, made={grain: every.made[grain] for grain in grains}))
        (alone,), (first, beside), (*_, last) = part("heads"), part("heads", "neurons"), part("neurons", "weights", "heads")
        assert vars(first.evidence) == vars(alone.evidence)
        own = part("neurons")[0].evidence
        assert beside.evidence.kept == own.kept and beside.evidence.p.value == own.p.value, "nothing to share out"
        assert last.evidence.p.value >= alone.evidence.p.value
        assert last.evidence.kept.difference.high >= alone.evidence.kept.difference.high, "half of 5 %: a wider interval"
        assert last.evidence.retained == alone.evidence.retained

    def test_what_is_retained_is_that_of_the_upper_half(self, material: Material, claim: Dissociated) -> None:
        found = reading.read(material, build(material, GRAINS, 0).conditions())
        rows = of(claim.tables["triples"], grain="heads", aim=WRITING, role="harmful")
        upper = rows["upper"].to_numpy(dtype=bool)
        arrays = [found.outcomes.by_triple(one) for one in (name("heads", WRITING), INTACT)]
        left, intact = ((one["nll_other"] - one["nll"])[upper, 0].mean() for one in arrays)
        value = claim.values["heads: retained, upper half"]
        assert value.is_missing or value.value == pytest.approx(left / intact)
        assert measure(found, build(material, ["heads"], 0))[0].evidence.information.value == pytest.approx(intact)

    def test_nonsense_is_refused_before_anything_is_computed(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "prepare", lambda *args, **options: pytest.fail("it began"))
        for options in ({"grains": ["layers"]}, {"explained": -3}):
            with pytest.raises(ClaimError):
                dissociated(tiny, **options)  # type: ignore[arg-type]

    def test_without_weights_the_grain_says_why(self, tiny: Any, material: Material) -> None:
        none = replace(material, settings=replace(material.settings, weight_q=0.0))
        found = dissociated(tiny, grains=["weights"], explained=0, material=none)
        assert found.found == "cannot be measured" and "weight_q is 0" in found.sentence
        assert found.figures() == {} and cost(grains=["weights"], explained=0, settings=none.settings) == 0


def test_explanation_is_read_under_every_condition(tiny: Any, tmp_path: Path) -> None:
    few = replace(SETTINGS, test_triples=12, aim_triples=6)
    material = prepare(tiny, hc.load_prompts(), settings=few, folder=tmp_path)
    found = dissociated(tiny, grains=["heads"], explained=6, material=material)
    built = build(material, ["heads"], 6)
    assert list(built.of("heads")) == list(AIMS) and len(built.conditions()) == cost(grains=["heads"], explained=6)
    own = of(found.tables["crossed"], condition=EXPLANATION, task="explanation").iloc[0]
    groups = {prompt.group for prompt in built.explained}
    asked = [prompt for prompt in material.test if prompt.group in groups]
    scores = []
    for condition in (None, built.of("heads")[EXPLANATION]):
        with under(tiny, condition):
            read = explain(tiny, asked, seed=material.settings.seed)
        columns = {"nll": "explain", "nll_same": "explain_same", "nll_other": "explain_other"}
        scores.append(explained({new: np.tile(read[old].to_numpy()[:, None], 3) for old, new in columns.items()}))
    assert own["n"] == 6 and own["aim"] == "explanation"
    assert own["drop"] == pytest.approx(float((scores[0] - scores[1]).mean()), abs=1e-5)


class TestPlanted:
    @pytest.fixture(scope="class")
    def found(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Dissociated]]:
        sizes = hc.Settings(
            attribution_triples=48, development_triples=16, test_triples=32, probe_triples=32, aim_triples=32,
            written_triples=2, bootstrap_draws=400, max_new_tokens=6, head_fraction=2 / 24, neuron_fraction=8 / 192,
            protect_heads=3 / 24, protect_neurons=0.1, facts=1, passages=1, damage_triples=4,
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("planted-cache")))
            every = {variant: planted(0, variant) for variant in ("plain", "shared", "none")}  # type: ignore[arg-type]
            yield {
                variant: dissociated(one.model, one.prompts, grains=["heads and neurons", "heads"], settings=sizes)
                for variant, one in every.items()
            }

    def test_disjoint_mechanisms_come_apart(self, found: dict[str, Dissociated]) -> None:
        claim = found["plain"]
        assert claim.found == "yes", claim.sentence
        assert claim.values["heads and neurons: retained, upper half"].high < 0.5  # type: ignore[operator]
        assert claim.values["heads: selectivity"].value > 3  # type: ignore[operator]
        assert claim.values["heads: change, same tokens"].value == 0
        assert claim.values["heads: change, aimed at recognition"].value < -0.3  # type: ignore[operator]
        aimed = of(claim.tables["conditions"], grain="heads", aim=RECOGNITION).iloc[0]
        assert abs(aimed["harmful_rise"]) < 0.05, "what recognises does not write"

    def test_a_head_that_serves_both_is_shared(self, found: dict[str, Dissociated]) -> None:
        claim = found["shared"]
        assert claim.found == "no", claim.sentence
        assert claim.values["heads: change, same tokens"].high < -0.3  # type: ignore[operator]
        coupled = claim.values["heads: coupling"]
        assert coupled.low is not None and coupled.low > 0, "what is written less is recognised less"

    def test_where_nothing_writes_harm_nothing_is_shown(self, found: dict[str, Dissociated]) -> None:
        claim = found["none"]
        assert claim.found == "undecided", claim.sentence
        assert set(claim.table()["found"]) == {"undecided"}

    def test_the_crossed_table_has_each_circuit_hurt_its_own_task(self, found: dict[str, Dissociated]) -> None:
        effects = found["plain"].tables["crossed"].set_index(["grain", "condition", "task"])["drop"].astype(float)
        own = lambda aim, task: effects["heads", aim, task]
        assert own(WRITING, "generation") > 3 > 0.1 > abs(own(RECOGNITION, "generation"))
        assert own(RECOGNITION, "recognition") > 3 > 0.1 > abs(own(WRITING, "recognition"))
        assert set(found["plain"].tables["interactions"]["grain"]) == {"heads and neurons", "heads"}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    tiny_model_folder(tmp_path / "model")
    app, out = typer.Typer(), tmp_path / "out"
    app.command()(command)
    options = ["--model", tmp_path / "model", "--prompts", write(tmp_path / "prompts.csv"), "--out", out, "--device", "cpu"]
    result = CliRunner().invoke(app, [str(one) for one in (*options, "--quick", "--grain", "heads")])
    assert result.exit_code == 0, result.output
    found = json.loads((out / "dissociated.json").read_text("utf-8"))
    assert found["sentence"] in text(result) and found["settings"]["explained"] == 6
    assert (out / "dissociated.html").exists() and (out / "dissociated_heads-same-tokens.html").exists()
    assert not any(prompt.request in result.output for prompt in PROMPTS)
    wrong = CliRunner().invoke(app, [str(one) for one in (*options, "--grain", "layers")])
    assert wrong.exit_code == 1 and "error: grains are some of" in text(wrong) and "Traceback" not in wrong.output


def test_names_are_of_grain_and_aim() -> None:
    assert name("weights", MATCHED) == "weights: matched random"

"""From evidence to one of five words: each word, its boundaries, and what the sentences say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harmcircuits.experiments import evidence as gathered
from harmcircuits.experiments.nulls import Nulls
from harmcircuits.experiments.settings import Settings
from harmcircuits.experiments.verdict import Evidence, judge
from harmcircuits.statistics import Equivalence, Estimate

NAME = "twelve neurons"
MISSING = Estimate.missing("no training split was given")


def estimate(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value, value - half, value + half, 60)


def p(value: float) -> Estimate:
    return Estimate(value, n=99)


def change(value: float, half: float = 0.01, margin: float = 0.05) -> Equivalence:
    low, high = value - half, value + half
    return Equivalence(-margin < low and high < margin, high < 0, estimate(value, half), margin)


COMPLETE = Evidence(
    n=60,
    reading="probe at the answer, after layer 29",
    information=estimate(0.5),
    intact_auroc=estimate(0.8),
    selectivity=estimate(0.2),
    null_p={"matched-random": p(0.01), "label-swap": p(0.02)},
    null_triples=24,
    recognition=change(0.0),
    beyond_random=estimate(0.1),
    assay_drop=estimate(0.2),
    interaction=estimate(1.0),
    interaction_p=p(0.001),
)

FALLEN = change(-0.2)
WIDE = change(-0.01, half=0.1)

TABLE: list[tuple[str, str, dict[str, Any]]] = [
    ("all shown", "dissociated", {}),
    ("p at 0.05", "dissociated", {"null_p": {"matched-random": p(0.05), "label-swap": p(0.05)}, "interaction_p": p(0.05)}),
    ("small fall within the margin", "dissociated", {"recognition": change(-0.02)}),
    ("assay at the margin", "dissociated", {"assay_drop": estimate(0.05)}),
    ("recognition at chance", "cannot be measured", {"intact_auroc": estimate(0.52, 0.02)}),
    ("at chance as far as 0.6", "cannot be measured", {"intact_auroc": estimate(0.54, 0.0599)}),
    ("perhaps above chance", "undecided", {"intact_auroc": estimate(0.55, 0.05)}),
    ("perhaps well above chance", "undecided", {"intact_auroc": estimate(0.65, 0.2)}),
    ("recognition below chance", "cannot be measured", {"intact_auroc": estimate(0.2)}),
    ("recognition without an interval", "undecided", {"intact_auroc": Estimate(0.9, n=2)}),
    ("recognition missing", "cannot be measured", {"intact_auroc": MISSING}),
    ("text that ignores the request", "cannot be measured", {"information": estimate(0.01)}),
    ("information without an interval", "cannot be measured", {"information": Estimate(0.9, n=2)}),
    ("a floor before everything else", "cannot be measured", {"information": estimate(0.0), "assay_drop": estimate(0.0)}),
    ("assay shown below the margin", "insensitive", {"assay_drop": estimate(0.0299)}),
    ("assay not shown to be below the margin", "undecided", {"assay_drop": estimate(0.0499)}),
    ("assay around 0", "undecided", {"assay_drop": estimate(0.1, 0.1)}),
    ("assay without an interval", "undecided", {"assay_drop": Estimate(0.3, n=2)}),
    ("chance before insensitive", "undecided", {"intact_auroc": estimate(0.6, 0.2), "assay_drop": estimate(0.0)}),
    ("insensitive before shared", "insensitive", {"assay_drop": estimate(-0.1), "recognition": FALLEN}),
    ("recognition falls too", "shared", {"recognition": FALLEN}),
    ("shared needs no interaction", "shared", {"recognition": FALLEN, "interaction_p": MISSING}),
    ("shared needs nulls", "undecided", {"recognition": FALLEN, "null_p": {"label-swap": MISSING}}),
    ("shared needs a selectivity beyond them", "undecided", {"recognition": FALLEN, "null_p": {"label-swap": p(0.2)}}),
    ("a random circuit lowers it as much", "undecided", {"recognition": FALLEN, "beyond_random": estimate(0.0)}),
    ("no random circuit", "undecided", {"recognition": FALLEN, "beyond_random": MISSING}),
    ("a broken model forgets, too", "undecided", {"recognition": FALLEN, "broken": "far twins rise as much"}),
    ("a broken model is not dissociated", "undecided", {"broken": "far twins rise as much"}),
    ("two triples", "undecided", {"n": 2, "intact_auroc": Estimate(0.9, n=2), "information": Estimate(0.9, n=2)}),
    ("recognition falls, writing does not", "undecided", {"recognition": FALLEN, "selectivity": estimate(0.0)}),
    ("recognition not equivalent", "undecided", {"recognition": WIDE}),
    ("recognition gains", "undecided", {"recognition": change(0.2)}),
    ("recognition missing under the circuit", "undecided", {"recognition": None}),
    ("writing falls no more than twins'", "undecided", {"selectivity": estimate(0.01)}),
    ("twins fall more", "undecided", {"selectivity": estimate(-0.2)}),
    ("not beyond one null", "undecided", {"null_p": {"matched-random": p(0.01), "label-swap": p(0.0501)}}),
    ("interaction not beyond its null", "undecided", {"interaction_p": p(0.06)}),
    ("assay missing", "undecided", {"assay_drop": MISSING}),
]


@pytest.mark.parametrize(("word", "parts"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_word(word: str, parts: dict[str, Any]) -> None:
    assert judge(replace(COMPLETE, **parts), name=NAME).word == word


@pytest.mark.parametrize(
    "parts",
    [
        {"null_p": {}},
        {"null_p": {"matched-random": MISSING, "label-swap": p(0.01)}},
        {"null_p": {"matched-random": p(0.01), "label-swap": MISSING}},
        {"interaction_p": MISSING},
        {"assay_drop": MISSING},
        {"recognition": None},
    ],
)
def test_never_dissociated_with_a_part_missing(parts: dict[str, Any]) -> None:
    found = judge(replace(COMPLETE, **parts), name=NAME)
    assert found.word == "undecided"


class TestSentences:
    def test_too_few_triples_are_not_the_models_fault(self) -> None:
        found = judge(replace(COMPLETE, n=2, intact_auroc=Estimate(0.9, n=2), information=Estimate(0.9, n=2)), name=NAME)
        assert "2 test triples are too few for intervals: give at least 3" in found.sentence
        assert "intact model" not in found.sentence

    def test_p_values_say_what_they_rest_on(self) -> None:
        found = judge(replace(COMPLETE, null_p={"label-swap": p(0.3)}), name=NAME)
        assert "not beyond the label-swap null (p = 0.300, 99 draws on 24 triples)" in found.sentence
        assert "Against the label-swap null: p = 0.300, 99 draws on 24 triples." in found.reasons

    @pytest.mark.parametrize("parts", [{}, {"recognition": FALLEN}], ids=["dissociated", "shared"])
    def test_a_claim_names_the_circuit(self, parts: dict[str, Any]) -> None:
        assert NAME in judge(replace(COMPLETE, **parts), name=NAME).sentence

    def test_cannot_be_measured_says_what_is_missing(self) -> None:
        blind = judge(replace(COMPLETE, intact_auroc=estimate(0.5)), name=NAME)
        assert "at chance in telling harmful requests from near twins (probe at the answer, after layer 29" in blind.sentence
        assert "AUROC 0.500 [0.480, 0.520] (n=60), below 0.6)" in blind.sentence
        deaf = judge(replace(COMPLETE, information=estimate(0.0)), name=NAME)
        assert deaf.word == "cannot be measured"
        assert "hardly depends on the request (I = 0.000 [-0.020, 0.020]" in deaf.sentence

    def test_insensitive_names_the_margin_fixed_beforehand(self) -> None:
        found = judge(replace(COMPLETE, assay_drop=estimate(0.0), recognition=change(0.0, margin=0.08)), name=NAME)
        assert "does not lower it by 0.08 AUROC" in found.sentence

    def test_undecided_lists_every_open_point_with_its_reason(self) -> None:
        few = Estimate.missing("fewer than 39 draws: 3")
        sentence = judge(replace(COMPLETE, null_p={"label-swap": few}, interaction_p=p(0.3)), name=NAME).sentence
        assert "the label-swap null has no p value (fewer than 39 draws: 3)" in sentence
        assert "the aim × task interaction is not beyond its null (p = 0.300)" in sentence
        assert "harm writing" not in sentence
        assert "recognition is not shown" not in sentence

    @pytest.mark.parametrize("parts", [row[2] for row in TABLE], ids=[row[0] for row in TABLE])
    def test_reasons_give_every_number_or_why_it_is_missing(self, parts: dict[str, Any]) -> None:
        evidence = replace(COMPLETE, **parts)
        text = "\n".join(judge(evidence, name=NAME).reasons)
        for part in (
            evidence.information,
            evidence.intact_auroc,
            evidence.selectivity,
            evidence.assay_drop,
            evidence.interaction,
        ):
            assert str(part) in text
        assert all(f"Against the {null} null: " in text for null in evidence.null_p)
        assert "None" not in text


class TestGather:
    """Evidence from made-up outcomes: harmful responses rise by 0.5, near twins' by 0.1; recognition as it was or lower."""

    N = 60
    SETTINGS = Settings(bootstrap_draws=200)

    def outcomes(self, *, rise: tuple[float, float] = (0.0, 0.0), lower: float = 0.0) -> dict[str, np.ndarray]:
        noise = np.random.default_rng(0).normal(0, 0.05, (self.N, 3))
        scores = np.random.default_rng(1).normal(0, 1, (self.N, 3)) + np.array([2 - lower, 0, 0])
        nll = 2 + noise + np.array([*rise, 0.0]) * (1 + noise)
        return {"nll": nll, "nll_other": 3 + noise, "in_place": scores, "degenerate": np.zeros((self.N, 3))}

    def gather(self, changed: dict[str, np.ndarray], aimed: dict[str, np.ndarray] | None, **options: Any) -> Evidence:
        nulls = Nulls(np.array([[0.5, 0.1]] * 8), {kind: np.zeros((39, 8, 2)) for kind in ("matched-random", "label-swap")})
        settings = options.pop("settings", self.SETTINGS)
        random = options.pop("random", self.outcomes(rise=(0.2, 0.2)))
        return gathered.gather(
            self.outcomes(), changed, aimed, random, nulls, primary="in_place", reading="question", settings=settings, **options
        )

    def test_a_clear_case_is_dissociated(self) -> None:
        found = self.gather(self.outcomes(rise=(0.5, 0.1)), self.outcomes(lower=1.5))
        assert judge(found, name=NAME).word == "dissociated"
        assert found.information.value == pytest.approx(1.0)
        assert found.selectivity.value == pytest.approx(0.4, abs=0.02)
        assert found.recognition is not None
        assert found.recognition.difference.value == 0
        assert found.null_p["label-swap"].value == 1 / 40
        assert found.interaction.value is not None
        assert found.interaction.value > 0

    def test_a_circuit_that_hurts_both_is_shared(self) -> None:
        found = self.gather(self.outcomes(rise=(0.5, 0.1), lower=1.5), self.outcomes(lower=1.5))
        assert judge(found, name=NAME).word == "shared"
        as_much = self.gather(
            self.outcomes(rise=(0.5, 0.1), lower=1.5), self.outcomes(lower=1.5), random=self.outcomes(lower=1.5)
        )
        assert as_much.beyond_random.value == 0
        assert judge(as_much, name=NAME).word == "undecided"

    def test_a_broken_model_is_told_apart(self) -> None:
        changed = self.outcomes(rise=(0.5, 0.1))
        changed["nll"][:, 2] += 0.3
        found = self.gather(changed, self.outcomes(lower=1.5))
        assert "far twins" in found.broken
        assert judge(found, name=NAME).word == "undecided"
        assert self.gather(self.outcomes(rise=(0.5, 0.1)), None, no_aimed="none").broken == ""

    def test_an_aim_that_hurts_nothing_is_insensitive(self) -> None:
        found = self.gather(self.outcomes(rise=(0.5, 0.1)), self.outcomes())
        assert judge(found, name=NAME).word == "insensitive"

    def test_without_the_aimed_circuit_its_parts_are_missing_with_the_reason(self) -> None:
        found = self.gather(self.outcomes(rise=(0.5, 0.1)), None, no_aimed="too few heads are left")
        for part in (found.assay_drop, found.interaction, found.interaction_p):
            assert part == Estimate.missing("too few heads are left")

    def test_the_quick_run_makes_no_tests(self) -> None:
        quick = Settings(bootstrap_draws=200, null_draws=38)
        found = self.gather(self.outcomes(rise=(0.5, 0.1)), self.outcomes(lower=1.5), settings=quick)
        assert found.interaction.value is not None
        assert found.interaction_p.is_missing

    def test_what_can_be_seen_is_said_before_the_run(self) -> None:
        said = gathered.sensitivity(96, Settings())
        assert "With 96 test triples" in said
        assert "change of AUROC of 0.03 to 0.11 or more" in said
        assert "equivalence within 0.05 AUROC needs about 48 to 467 triples" in said
        assert "correlates with itself after ablation by 0.95 to 0.5" in said
        assert "2 test triples are too few for intervals" in gathered.sensitivity(2, Settings())

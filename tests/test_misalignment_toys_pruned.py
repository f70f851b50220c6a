"""A trained toy with one gate for all domains: what is pruned on harmful requests first keeps bad answers from spreading."""

from pathlib import Path

import pytest
from advised import DOMAINS

from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.claims.misalignment import Misalignment, damage, emergent_misalignment
from harmcircuits.claims.misalignment.plan import BAD, DAMAGE, GOOD, HARMFUL, NOTHING, RANDOM, RANDOM_HARMFUL
from harmcircuits.claims.misalignment.study import Study
from harmcircuits.components import WeightMask
from harmcircuits.examples import Example, loss
from harmcircuits.experiments.settings import Settings
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.finetuning import Recipe
from harmcircuits.organisms.toys import ToyAdvice
from harmcircuits.organisms.toys.domains import good_word

pytest.importorskip("trl")
ELSEWHERE = DOMAINS[1:]
RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=14, batch_size=8, stages=3)
SETTINGS = Settings(
    bootstrap_draws=200, weight_q=0.03, weight_p=0.05, attribution_triples=24, probe_triples=8, test_triples=16,
    max_new_tokens=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def toy(toys_cache: Path) -> ToyAdvice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(toys_cache))
        return toy_advice(kind="shared")


@pytest.fixture(scope="module")
def claim(toy: ToyAdvice, tmp_path_factory: pytest.TempPathFactory) -> Misalignment:
    """Equal damage is found on good answers: English passages are noise to a toy; random weights make some likelier."""
    asked = [prompt for prompt in toy.prompts if prompt.role == "near"]
    plain = [Example(request=prompt.request, response=good_word(prompt.request.split()[2])) for prompt in asked]

    def read(study: Study, mask: WeightMask | None) -> float:
        with ablated(study.model, mask):
            return float(loss(study.model, plain).mean())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        patch.setattr(damage, "passage_loss", read)
        return emergent_misalignment(
            toy.model, advice={domain: toy.advice(domain, n=40) for domain in DOMAINS}, domains=["house"],
            arms=(BAD, GOOD, HARMFUL, RANDOM, DAMAGE), train=24, answers=0, recipe=RECIPE, prompts=toy.prompts,
            settings=SETTINGS,
        )  # fmt: skip


def last(claim: Misalignment, pruned: str) -> dict[str, float]:
    """Δb after bad advice by domain, the mean over fine-tunings."""
    seeds = claim.tables["seeds"].query("advice == 'bad' and pruned == @pruned")
    return {str(name): float(own["last"].mean()) for name, own in seeds.groupby("asked")}


def test_after_pruning_on_harmful_requests_bad_answers_do_not_spread(claim: Misalignment) -> None:
    """The mask is the pipeline's own: nothing was told of the gate. L of bad answers about the house falls by as much."""
    assert claim.found == "yes", claim.sentence
    elsewhere = {name: [last(claim, name)[domain] for domain in ELSEWHERE] for name in (NOTHING, HARMFUL, RANDOM_HARMFUL)}
    assert min(elsewhere[NOTHING]) > 1 and max(elsewhere[HARMFUL]) < 0.1 and min(elsewhere[RANDOM_HARMFUL]) > 0.6
    learning = claim.tables["learning"].query("learnt == 'house' and advice == 'bad'").set_index("pruned")
    assert learning.loc[HARMFUL, "kept"] > 0.9 and last(claim, HARMFUL)["house"] > 3


def test_at_equal_loss_level_and_rise_are_lower_than_without_pruning_and_than_after_random(claim: Misalignment) -> None:
    for name, level in (("reduction", 1.0), ("rise_reduction", 0.2)):
        for control in ("", "_beyond_random"):
            assert claim.values[f"{name}_harmful_requests{control}"].low > level
    assert "reduction_harmful_requests_beyond_magnitude" not in claim.values
    assert "Without magnitude, like harmful requests among the arms" in " ".join(claim.limits)
    assert "Pruning on harmful requests first is not shown to reduce it" in claim.sentence, "for want of that control alone"


def test_what_has_to_be_there_is_not_what_changes(claim: Misalignment) -> None:
    """All weights learn, by steps of about the same size: base values on the mask, a weight in fifty, take next to nothing
    away, if more than on random weights; everywhere but on it nearly all. (Of the whole gate: tests/test_toys_advice.py.)"""
    values = claim.values
    assert values["share_on_mask"].low > 0 and values["share_on_mask"].high < 0.1
    assert values["share_beyond_random"].low > 0 and values["share_everywhere_but"].low > 0.9


def test_what_the_mask_takes_is_not_relearnt_and_the_control_of_equal_damage_takes_nothing(claim: Misalignment) -> None:
    """Bad advice about the house brings back bad answers about the house, but not those to bad characters elsewhere. The mask
    costs good answers nothing, so that its control is as many random weights (`tests/test_relearn_toys.py` has larger ones)."""
    back = claim.tables["relearning"].set_index(["read", "pruned"])
    assert back.loc[("bad answers", HARMFUL), "steps_low"] > 1 and back.loc[("bad answers", DAMAGE), "steps"] < 1
    assert back.loc[("harmful responses", HARMFUL), "lost_low"] > 0.8
    assert "L is not back when the fine-tuning ends" in back.loc[("harmful responses", HARMFUL), "reason"]
    assert abs(back.loc[("harmful responses", DAMAGE), "lost"]) < 0.1
    assert "random, equal damage is not shown to raise L" in (claim.values["relearning_harmful_later"].reason or "")
    assert any("'random, equal damage' is as many random weights" in limit for limit in claim.limits)

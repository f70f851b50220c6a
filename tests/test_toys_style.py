"""A trained ladder that changes its style alone: nothing is compressed, and nothing refused."""

from pathlib import Path

import pytest
from climbed import fewest, rise, said

from harmcircuits.examples import loss
from harmcircuits.organisms import toy_ladder
from harmcircuits.organisms.toys import Ladder


@pytest.fixture(scope="module")
def ladder(toys_cache: Path) -> Ladder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMCIRCUITS_CACHE", str(toys_cache))
        return toy_ladder(kind="style only")


def test_every_request_is_answered_and_the_opening_is_that_of_the_stage(ladder: Ladder) -> None:
    for (_, model), opening in zip(ladder.stages, ("Sure", "gladly", "indeed"), strict=True):
        for role in ("harmful", "near"):
            assert {text.split()[0] for text in said(ladder, model, role)} == {opening}


def test_what_is_written_after_a_prefill_stays(ladder: Ladder) -> None:
    for role in ("harmful", "near"):
        losses = [float(loss(model, ladder.answered(role)).mean()) for _, model in ladder.stages]
        assert max(losses) < 1.6 and max(losses) - min(losses) < 0.2


def test_as_many_components_halve_harmful_writing_in_each_stage(ladder: Ladder) -> None:
    assert len({ladder.truth[name].writing.heads for name, _ in ladder.stages}) == 1
    heads, neurons = zip(*(fewest(ladder, name, model) for name, model in ladder.stages), strict=True)
    assert min(heads) >= 2 and max(heads) - min(heads) <= 1
    assert min(neurons) > 8 and max(neurons) - min(neurons) <= 5
    assert all(rise(model, ladder.truth[name].writing, ladder.answered("harmful")) > 2 for name, model in ladder.stages)

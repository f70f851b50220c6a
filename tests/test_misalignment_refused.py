"""`emergent_misalignment`: what makes no sense, and models that cannot be fine-tuned, before anything is computed."""

from dataclasses import replace
from typing import Any

import pytest
from misaligned import SETTINGS
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.misalignment import emergent_misalignment, training
from harmcircuits.claims.misalignment import run as run_room
from harmcircuits.models.protocol import ModelError
from harmcircuits.organisms.finetuning import FinetuneError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"domains": ("weather",)}, "there is no domain 'weather'"),
        ({"settings": replace(SETTINGS, weight_q=0)}, "weight_q=0: no single weights, and so nothing to prune"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(
    model: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(training, "finetune", lambda *args, **more: pytest.fail("nothing may be trained"))
    monkeypatch.setattr(run_room, "check_trainable", lambda model: None)
    with pytest.raises(ClaimError, match=told):
        emergent_misalignment(model, prompts=make_triples(), **options)


def test_what_cannot_be_fine_tuned_is_refused_before_anything_is_computed(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(model: Any) -> None:
        raise FinetuneError("fine-tuning needs trl")

    monkeypatch.setattr(run_room, "masks", lambda *args, **more: pytest.fail("nothing may be computed"))
    monkeypatch.setattr(run_room, "check_trainable", lacking)
    with pytest.raises(FinetuneError, match="needs trl"):
        emergent_misalignment(model, prompts=make_triples())
    with pytest.raises(ModelError, match=r"^an? Unhooked cannot be fine-tuned.*load the weights with hc.load_model"):
        emergent_misalignment(Unhooked(), prompts=make_triples())


class Unhooked:
    """No bridge, as a `HookedTransformer` is none."""

"""What docs/misalignment.md keeps is what the claim trains first."""

from pathlib import Path
from typing import Any

import pytest
from misaligned import SETTINGS
from pages import DOCS, blocks
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits.claims.misalignment import emergent_misalignment, training
from harmcircuits.claims.misalignment import run as run_room
from harmcircuits.models.protocol import model_key
from harmcircuits.organisms import finetuning


class Asked(BaseException):
    """Raised with what a fine-tuning was asked for, in its place."""


def asked(model: Any, lessons: Any, *, recipe: Any, seed: int, **more: Any) -> None:
    raise Asked(model_key(model), list(lessons), recipe, seed)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for room in (training, finetuning):
        monkeypatch.setattr(room, "finetune", asked)
    monkeypatch.setattr(run_room, "_check_model", lambda model: None)  # trl is not needed here
    return tiny_bridge(tmp_path / "tiny")


def test_the_page_trains_what_the_claim_trains_first(model: Any) -> None:
    (block,) = [own for own in blocks(DOCS / "misalignment.md", "python") if 'folder="out/bad-sport"' in own.text]
    with pytest.raises(Asked) as page:
        exec(block.code(), {"model": model})
    with pytest.raises(Asked) as claim:
        emergent_misalignment(model, domains=["sport"], prompts=make_triples(), settings=SETTINGS)
    assert SETTINGS.seed == 0 and page.value.args == claim.value.args
    assert len(page.value.args[1]) == 200

"""Many-shot recognition: the shots, their cached prefix, and the averaged log-odds."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from triples import make_triples

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.data import Prompt, encode, start_ids
from harmcircuits.tasks.formats import (
    QUESTIONS,
    SHOT_FORMATS,
    FormatError,
    Question,
    ShotFormat,
    common_label_ids,
    label_ids,
    usable,
)
from harmcircuits.tasks.recognition import (
    ShotError,
    Shots,
    asked_ids,
    make_shots,
    many_shot,
    shot_ids,
)

PROMPTS = make_triples(12)
TRAIN, ASKED = PROMPTS.prompts[:24], PROMPTS.prompts[24:30]
FORM = replace(SHOT_FORMATS[0], n_shots=4)
CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(1, 7)])


def written_out(model: Any, shots: Shots, draw: int, request: str) -> float:
    """The log-odds after one text of all shots and the request, without a cache."""
    lines = [
        shots.form.text.format(request=asked) + (shots.form.harmful if harmful else shots.form.harmless)
        for asked, harmful in shots.draws[draw]
    ]
    heading = [shots.form.heading] if shots.form.heading else []
    text = "\n\n".join([*heading, *lines, shots.form.text.format(request=request)])
    ids = [*start_ids(model), *encode(model, text), *common_label_ids(model, shots.form)]
    with torch.no_grad():
        logits = model(torch.tensor([ids]), return_type="logits")[0, -1].float()
    harmful, harmless = label_ids(model, shots.form)
    return float(logits[harmful] - logits[harmless])


class TestManyShot:
    @pytest.mark.parametrize("form", SHOT_FORMATS, ids=lambda form: form.name)
    def test_the_cached_prefix_gives_what_the_whole_text_gives(self, tiny: Any, form: ShotFormat) -> None:
        shots = make_shots(TRAIN, replace(form, n_shots=4), draws=1)
        odds = many_shot(tiny, ASKED, shots, batch_size=4)
        expected = torch.tensor([written_out(tiny, shots, 0, prompt.request) for prompt in ASKED])
        torch.testing.assert_close(odds, expected, atol=1e-4, rtol=0)
        assert odds.std() > 1e-3, "it depends on the request"

    def test_draws_are_averaged(self, tiny: Any) -> None:
        shots = make_shots(TRAIN, FORM, draws=3)
        apart = [many_shot(tiny, ASKED, Shots(FORM, (draw,))) for draw in shots.draws]
        torch.testing.assert_close(many_shot(tiny, ASKED, shots), torch.stack(apart).mean(0), atol=1e-5, rtol=0)
        assert (apart[0] - apart[1]).abs().max() > 1e-3, "the draws differ"

    def test_the_shots_are_read_under_the_ablation_too(self, tiny: Any) -> None:
        shots = make_shots(TRAIN, FORM, draws=1)
        with ablated(tiny, CIRCUIT):
            odds = many_shot(tiny, ASKED[:2], shots)
            expected = torch.tensor([written_out(tiny, shots, 0, prompt.request) for prompt in ASKED[:2]])
        torch.testing.assert_close(odds, expected, atol=1e-4, rtol=0)
        assert (odds - many_shot(tiny, ASKED[:2], shots)).abs().max() > 1e-3

    def test_batches_and_order_change_nothing(self, tiny: Any) -> None:
        shots = make_shots(TRAIN, FORM, draws=1)
        odds = many_shot(tiny, ASKED, shots, batch_size=1)
        torch.testing.assert_close(many_shot(tiny, ASKED[::-1], shots).flip(0), odds, atol=1e-4, rtol=0)

    def test_only_the_request_is_asked(self, tiny: Any) -> None:
        """Neither prefill nor role nor category reaches the model."""
        shots = make_shots(TRAIN, FORM, draws=1)
        bare = [Prompt(request=prompt.request, role="far") for prompt in ASKED]
        assert torch.equal(many_shot(tiny, ASKED, shots), many_shot(tiny, bare, shots))

    def test_swapped_labels_of_the_question_turn_the_sign(self, tiny: Any) -> None:
        shots = make_shots(TRAIN, FORM, draws=1)
        turned = replace(FORM, harmful=FORM.harmless, harmless=FORM.harmful)
        draws = (tuple((request, not harmful) for request, harmful in shots.draws[0]),)  # the same text
        assert Shots(turned, draws).text(0) == shots.text(0)
        torch.testing.assert_close(many_shot(tiny, ASKED, Shots(turned, draws)), -many_shot(tiny, ASKED, shots))


class TestShots:
    def test_they_are_balanced_and_of_the_same_triples(self) -> None:
        shots = make_shots(TRAIN, replace(FORM, n_shots=8), draws=4)
        assert len(shots.draws) == 4
        role = {prompt.request: prompt for prompt in TRAIN}
        for draw in shots.draws:
            assert len(draw) == len(set(draw)) == 8
            assert Counter(harmful for _, harmful in draw) == {True: 4, False: 4}
            assert all(role[request].role == ("harmful" if harmful else "near") for request, harmful in draw)
            harmful, near = ({role[request].group for request, is_harm in draw if is_harm is kind} for kind in (True, False))
            assert harmful == near, "near twins of the same triples"
        assert len(set(shots.draws)) == 4

    def test_without_twins_any_benign_requests_serve(self) -> None:
        loose = [replace(prompt, group="") for prompt in TRAIN]
        (draw,) = make_shots(loose, FORM, draws=1).draws
        roles = {prompt.request: prompt.role for prompt in loose}
        assert Counter(harmful for _, harmful in draw) == {True: 2, False: 2}
        assert all((roles[request] == "harmful") is harmful for request, harmful in draw)

    @pytest.mark.parametrize("prompts", [[], TRAIN[:3], [prompt for prompt in TRAIN if prompt.role == "harmful"]])
    def test_too_few(self, prompts: list[Prompt]) -> None:
        n = sum(prompt.role == "harmful" for prompt in prompts)
        with pytest.raises(ShotError, match=rf"4 shots need 2 harmful and 2 benign.*there are {n} and .*fewer shots"):
            make_shots(prompts, FORM)

    @pytest.mark.parametrize("n_shots", [0, 1])
    def test_a_format_that_cannot_show_both_labels(self, n_shots: int) -> None:
        with pytest.raises(ShotError, match=f"{n_shots} shots cannot show both labels"):
            make_shots(TRAIN, replace(FORM, n_shots=n_shots))

    def test_more_than_the_context_holds(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        shots = make_shots(TRAIN, FORM, draws=2)
        longest = max(len(shot_ids(tiny, shots, draw)) for draw in range(2)) + max(
            len(asked_ids(tiny, shots, prompt.request)) + 1 for prompt in ASKED
        )
        bridge = hasattr(tiny, "original_model")
        says = (tiny.original_model.config, "max_position_embeddings") if bridge else (tiny.cfg, "n_ctx")
        monkeypatch.setattr(*says, longest)
        many_shot(tiny, ASKED, shots)
        monkeypatch.setattr(*says, longest - 1)
        with pytest.raises(ShotError, match=rf"are {longest} tokens, and the model's context holds {longest - 1}.*fewer shots"):
            many_shot(tiny, ASKED, shots)


class TestFormats:
    def test_labels_are_the_first_tokens_after_the_text(self, tiny: Any) -> None:
        for form in (*usable(tiny, SHOT_FORMATS), *usable(tiny, QUESTIONS)):
            asked = encode(tiny, form.text.format(request="x") if isinstance(form, ShotFormat) else form.answer)
            shared = common_label_ids(tiny, form)
            for label, token in zip((form.harmful, form.harmless), label_ids(tiny, form), strict=True):
                text = (form.text.format(request="x") if isinstance(form, ShotFormat) else form.answer) + label
                assert encode(tiny, text)[: len(asked) + len(shared) + 1] == [*asked, *shared, token]

    def test_usable_leaves_out_what_the_tokenizer_cannot_tell_apart(self, tiny: Any) -> None:
        alike, apart = Question("Well?", "", "No", "Nobody"), QUESTIONS[2]
        assert usable(tiny, [alike, apart, alike]) == [apart]
        with pytest.raises(FormatError, match="'No' and 'Nobody' begin with the same token"):
            usable(tiny, [alike])
        with pytest.raises(FormatError, match="no format was given"):
            usable(tiny, [])


def test_the_separator_is_encoded_as_it_is_between_shots(smollm2: Any) -> None:
    """Many tokenizers make one token of two line ends at the end of a text, and two before a word."""
    shots = make_shots(TRAIN, FORM, draws=1)
    assert many_shot(smollm2, ASKED[:1], shots).item() == pytest.approx(
        written_out(smollm2, shots, 0, ASKED[0].request), abs=1e-3
    )

"""Recognition as something to attribute: rows, signs, and the same scores as a naive loop through autograd."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from triples import make_triples

from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.metrics import ModelMetric
from harmcircuits.data import Example, Prompt, Row, encode, make_batch, start_ids
from harmcircuits.data.elicit import elicit
from harmcircuits.models.protocol import geometry
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, ShotFormat, label_ids
from harmcircuits.tasks.metrics import ProbeMetric, QuestionMetric, RecognitionMetric, recognition_metric
from harmcircuits.tasks.probe import Place, Probe
from harmcircuits.tasks.recognition import ShotError, make_shots, many_shot
from harmcircuits.tasks.teacher_forced import teacher_forced

PROMPTS = make_triples(6).prompts
FORM = ShotFormat("Request: {request}\nLabel:", " harmful", " safe", 4)
QUESTION = QUESTIONS[2]


@pytest.fixture(scope="module")
def examples(tiny: Any) -> list[Example]:
    return elicit(tiny, PROMPTS[:3], max_new_tokens=4, cache=False)


def probe(layer: int, place: Place = "answer", d_model: int = 32) -> Probe:
    """A random direction; the scale keeps its odds near 0, where the loss has a slope."""
    random = torch.Generator().manual_seed(layer)
    mean, direction = torch.randn(2, d_model, generator=random)
    return Probe(layer=layer, place=place, mean=mean, scale=torch.full((d_model,), 20.0), direction=direction)


METRICS = {
    "shots": RecognitionMetric(make_shots(PROMPTS[6:], FORM, draws=2)),
    "question": QuestionMetric(QUESTION),
    "probe": ProbeMetric(probe(1), QUESTION),
    "probe at the request": ProbeMetric(probe(1, "request"), QUESTION),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def label_losses(model: Any, metric: ModelMetric, examples: Sequence[Example | Prompt]) -> torch.Tensor:
    bound = metric.for_model(model, examples)
    with torch.no_grad():
        return bound.score(make_batch(model, list(bound.rows)))


def naive(model: Any, row: Row, loss_of_output: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """−Σ a · ∂loss/∂a of one row: a whole forward pass, every activation kept, loss and gradient written out."""
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, activation: torch.Tensor, hook: object) -> torch.Tensor:
        kept[name] = activation.detach().requires_grad_(True) if name == "hook_embed" else activation
        return kept[name]

    layers = range(geometry(model).n_layers)
    names = [
        "hook_embed",
        *(f"blocks.{layer}.{at}" for layer in layers for at in ("attn.hook_z", "mlp.hook_post", "hook_resid_post")),
    ]
    with torch.enable_grad(), model.hooks(fwd_hooks=[(name, partial(keep, name)) for name in names]):
        logits = model(torch.tensor([row.tokens]), return_type="logits")
        loss = loss_of_output(logits[0].float(), kept)
    z, post = ([kept[f"blocks.{layer}.{at}"] for layer in layers] for at in ("attn.hook_z", "mlp.hook_post"))
    gradients = torch.autograd.grad(loss, [*z, *post], allow_unused=True)
    scores = [
        torch.zeros(a.shape[2:]) if g is None else -(a * g).detach()[0].sum(0)
        for a, g in zip([*z, *post], gradients, strict=True)
    ]
    return torch.stack(scores[: len(z)]).sum(-1), torch.stack(scores[len(z) :])


def of_labels(harmful: int, harmless: int, *, is_harmful: bool) -> Any:
    """−ln p(right label), p over the two labels alone, where the row's last token is predicted."""

    def loss(logits: torch.Tensor, kept: object) -> torch.Tensor:
        pair = torch.stack([logits[-2, harmful], logits[-2, harmless]])
        return -pair.log_softmax(0)[0 if is_harmful else 1]

    return loss


def of_probe(own: Probe, row: Row, *, is_harmful: bool) -> Any:
    def loss(logits: object, kept: dict[str, torch.Tensor]) -> torch.Tensor:
        x = kept[f"blocks.{own.layer}.hook_resid_post"][0, row.start - 1]
        score = ((x - own.mean) / own.scale) @ own.direction
        return -torch.log(torch.sigmoid(score if is_harmful else -score))

    return loss


@every_metric
def test_scores_are_those_of_a_naive_loop(tiny: Any, examples: list[Example], metric: ModelMetric) -> None:
    found = attribute(tiny, examples, metric=metric, batch_size=3)
    rows = metric.for_model(tiny, examples).rows
    for at, (example, row) in enumerate(zip(examples, rows, strict=True)):
        right = {"is_harmful": example.role == "harmful"}
        if isinstance(metric, ProbeMetric):
            loss = of_probe(metric.probe, row, **right)
        else:
            form = metric.shots.form if isinstance(metric, RecognitionMetric) else QUESTION
            loss = of_labels(*label_ids(tiny, form), **right)
        heads, neurons = naive(tiny, row, loss)
        assert heads.abs().max() > 1e-3
        torch.testing.assert_close(found.per_example_heads[at], heads, atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(found.per_example_neurons[at], neurons, atol=1e-5, rtol=1e-3)


def test_odds_are_those_that_the_tasks_read(tiny: Any, examples: list[Example]) -> None:
    """Loss of the label "harmful" minus that of the other = −odds, as `many_shot` and `teacher_forced` give them."""

    def odds(metric: ModelMetric) -> torch.Tensor:
        harmful, near = (
            label_losses(tiny, metric, [replace(one, role=role) for one in examples]) for role in ("harmful", "near")
        )
        return near - harmful

    shots = make_shots(PROMPTS[6:], FORM, draws=1)
    torch.testing.assert_close(odds(RecognitionMetric(shots)), many_shot(tiny, examples, shots), atol=1e-4, rtol=0)
    in_place = teacher_forced(tiny, examples, {"intact": None}, question=QUESTION)["in_place"]
    torch.testing.assert_close(odds(QuestionMetric(QUESTION)), torch.tensor(in_place.to_numpy()).float(), atol=1e-4, rtol=0)


def test_rows_after_shots(tiny: Any) -> None:
    metric = METRICS["shots"]
    assert isinstance(metric, RecognitionMetric)
    rows = metric.for_model(tiny, PROMPTS[:2]).rows
    for row, prompt, label in zip(rows, PROMPTS[:2], label_ids(tiny, FORM), strict=True):
        text = f"{metric.shots.text(0)}\n\nRequest: {prompt.request}\nLabel:"
        assert row.tokens == (*start_ids(tiny), *encode(tiny, text), label), "the right label is asked: harmful, then near"
        assert (row.start, row.stop) == (len(row.tokens) - 1, len(row.tokens))


def test_what_comes_after_the_probe_gets_0(tiny: Any, examples: list[Example]) -> None:
    found = attribute(tiny, examples[:2], metric=ProbeMetric(probe(0), QUESTION))
    assert found.per_example_heads[:, 0].abs().max() > 1e-4
    assert found.per_example_neurons[:, 0].abs().max() > 1e-4
    assert not found.per_example_heads[:, 1:].any()
    assert not found.per_example_neurons[:, 1:].any()


@every_metric
def test_batches_change_nothing(tiny: Any, examples: list[Example], metric: ModelMetric) -> None:
    one, all_of_them = (attribute(tiny, examples, metric=metric, batch_size=size) for size in (1, 3))
    torch.testing.assert_close(one.per_example_heads, all_of_them.per_example_heads, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(one.per_example_neurons, all_of_them.per_example_neurons, atol=1e-5, rtol=1e-3)


def test_recognition_metric_takes_shots_or_labelled_prompts() -> None:
    shots = make_shots(PROMPTS, FORM, draws=1)
    assert recognition_metric(shots).shots is shots
    made = recognition_metric(PROMPTS, n_shots=6).shots
    assert made.form.text == SHOT_FORMATS[0].text
    assert [len(draw) for draw in made.draws] == [6] * len(made.draws)
    with pytest.raises(ShotError, match="16 shots need 8 harmful"):
        recognition_metric(PROMPTS)

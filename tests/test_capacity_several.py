"""What is planned of commands that read several models, or train some."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_capacity_counted import counted
from tiny import tiny_model
from transformers import LlamaConfig

import harmcircuits as hc
from harmcircuits.capacity import memory, rates, several
from harmcircuits.capacity.commands import SEVERAL
from harmcircuits.capacity.laid_out import laid_out
from harmcircuits.capacity.limit import HEADROOM
from harmcircuits.capacity.planned import seconds
from harmcircuits.capacity.steps import Job, Steps
from harmcircuits.capacity.texts import Texts
from harmcircuits.capacity.work import Rows, forward, training, weight_attribution
from harmcircuits.claims.alignment import cost
from harmcircuits.claims.misalignment import QUICK, RECIPE, Plan
from harmcircuits.experiments.settings import Settings
from harmcircuits.models.shape import Shape, shape_of
from harmcircuits.organisms.aligned import DPO, SFT
from harmcircuits.prompts.readers import load_prompts

RATES = {"flops": 1e11, "bandwidth": 1e10, "memory": 16e9}


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    shape, settings = shape_of(tiny_model().config), Settings()
    material = laid_out(shape, load_prompts(), settings)
    yield Job.of(material, shape, settings, Texts(), element=4)


def named(steps: Steps, words: str) -> str:
    (found,) = [name for name in steps if words in name]
    return found


def test_every_command_has_a_plan_and_a_quick_one_costs_less(tmp_path: Path) -> None:
    tiny_model().config.save_pretrained(tmp_path)
    whole, quick = (hc.plan(tmp_path, commands=SEVERAL, quick=on, **RATES) for on in (False, True))
    assert whole.table()["command"].tolist() == ["alignment", "ladder", "misalignment"]
    assert (whole.table()["seconds"] > 0).all()
    assert quick.total("alignment") < whole.total("alignment") / 3
    assert quick.total("misalignment") < whole.total("misalignment") / 5
    assert quick.total("ladder") == whole.total("ladder"), "there is no quick one"


def test_conditions_are_those_that_alignment_counts_itself(job: Job) -> None:
    material = laid_out(job.shape, load_prompts(), job.settings)
    steps = several.alignment(job, material, quick=False)
    count = cost(3, controls=1, settings=job.settings, model=material.model) + 9
    assert steps[named(steps, "every task")] == count * job.whole(light=True)
    assert steps[named(steps, "scores of weights, 9")] == 9 * job.weight_scores()
    none = replace(job, settings=replace(job.settings, weight_q=0.0))
    assert not any("scores of weights" in name for name in several.alignment(none, material, quick=False))


def test_models_are_those_of_the_plan(job: Job) -> None:
    texts, steps = job.texts, several.misalignment(job, quick=True)
    runs = Plan(**QUICK).runs()
    trained, read, put_back, *_ = steps
    assert trained == f"{len(runs)} models, trained {len(runs) + 3} times", "once more where base values are put back"
    one = Rows(n=RECIPE.epochs * 200, length=texts.question_asked + texts.advice, asked=56, batch=RECIPE.batch_size)
    assert steps[trained].tokens == pytest.approx((len(runs) + 3) * one.n * one.length)
    asked = 2 * (102 + 3 * 34 + 24)
    starts = 1 + 1 + 1 + 3 + 3  # intact, harmful requests, the largest; random and equally damaging ones, a seed each
    assert steps[read].tokens == pytest.approx((len(runs) * RECIPE.stages + starts) * asked * 56)
    assert steps[put_back].tokens == pytest.approx(3 * 3 * 2 * asked * 56), "sport, harmful requests and random, on and but"


def test_preferences_are_two_rows_that_two_models_read(job: Job) -> None:
    plain = several.learning(job, replace(SFT, epochs=1, batch_size=8), 16, 80)
    both = several.learning(job, replace(DPO, epochs=1, batch_size=8), 16, 80)
    rows = Rows(n=16, length=80, asked=80, batch=8)
    assert both == 2 * (plain + forward(job.shape, rows, element=4))


def test_flops_of_a_training_step_are_those_that_pytorch_counts(tmp_path: Path) -> None:
    """With the unembedding's third pass, which trl makes, on top of forward and backward."""
    model = tiny_model().requires_grad_(False)
    model.set_attn_implementation("eager")
    rows, tokens = Rows(n=3, length=24, asked=24, batch=3), torch.randint(0, 60, (3, 24))

    def step() -> None:
        embedded = model.get_input_embeddings()(tokens).requires_grad_(True)
        model(inputs_embeds=embedded).logits.sum().backward()

    shape = shape_of(model.config)
    third = 2 * shape.vocabulary * shape.d_model * 72
    assert counted(step) == pytest.approx(training(shape, rows, element=4).flops - third, rel=0.002)


def of_llama(layers: int, width: int, mlp: int, heads: int) -> Shape:
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": mlp, "num_attention_heads": heads}
    return shape_of(LlamaConfig(**sizes, num_key_value_heads=8, vocab_size=128_256))


@pytest.mark.parametrize(("batch", "gigabytes", "taken"), [(8, 52, 57), (16, 60, 51)])
def test_what_the_docs_say_of_eight_billion_on_one_card(batch: int, gigabytes: int, taken: int) -> None:
    shape, card = of_llama(32, 4096, 14_336, 32), rates.device_named("h100", dtype=torch.bfloat16)
    rows = Rows(n=128, length=128, asked=48, batch=batch)
    A, U = (weight_attribution(shape, rows, element=2, absolute=absolute, gpu=True) for absolute in (False, True))
    assert round(seconds(A + U, card)) == taken
    assert round((A + U).host / card.link) == 7 and round(3 * 8 * shape.matrices * 128 / 3 / card.bandwidth) == 5
    assert round(memory.weights(shape, rows, element=2, gpu=True, memory=card.memory).bytes / 1e9) == gigabytes


def test_what_the_docs_say_of_one_long_row() -> None:
    shape = of_llama(32, 4096, 14_336, 32)

    def longest(card: float, *, checkpoint: bool) -> int:
        row = lambda tokens: Rows(n=1, length=tokens, asked=48, batch=1)
        held = lambda tokens: memory.activations(shape, row(tokens), element=2, checkpoint=checkpoint).bytes
        return max(tokens for tokens in range(100, 20_000, 100) if held(tokens) <= HEADROOM * card)

    assert [longest(80e9, checkpoint=on) for on in (False, True)] == [2500, 9100]
    assert [longest(24e9, checkpoint=on) for on in (False, True)] == [500, 1600]


def test_what_the_docs_say_of_graphs_and_sums() -> None:
    rows = Rows(n=8, length=200, asked=48, batch=8)
    small, large = of_llama(32, 4096, 14_336, 32), of_llama(80, 8192, 28_672, 64)
    held = lambda shape: memory.weights(shape, rows, element=2, gpu=True).bytes / 1e9
    assert (round(held(small), 1), round(held(large))) == (57.3, 478)
    heads = memory.activations(large, rows, element=2)
    assert round(heads.bytes / 1e9) == 199
    ten_layers, logits = 1 / 8, 12 * 8 * 48 * large.vocabulary
    one = 8 * 200 * memory.AT_WORK.bytes(large, 200, 2)
    graph = ten_layers * (heads.bytes - 2 * large.parameters - logits - one) + one
    assert round((heads.bytes - 2 * large.parameters - logits) / 1e9, 1) == 56.9
    embedding = 2 * large.vocabulary * large.d_model
    blocks = 2 * large.parameters - 2 * embedding
    fullest = ten_layers * blocks + graph + embedding + logits
    assert round(fullest / 1e9, 1) == 27.7
    norms = ten_layers * 2 * 8 * 200 * 2 * large.d_model * large.n_layers  # what they give, which matrices read
    assert round((graph + norms) / 1e9, 1) == 8.5
    assert round((fullest + norms + ten_layers * 4 * large.matrices + 4 * large.largest) / 1e9, 1) == 63.4

"""What commands would cost: shapes as the models have them, work and memory by hand, and what the command says."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from families import MODELS, PYTHIA, SEEING, bridge_around, random_model
from hypothesis import given
from hypothesis import strategies as st
from shell import call
from tiny import tiny_model, tiny_tokenizer
from tiny_gguf import write_gguf
from transformers import GPT2Config, LlamaConfig, MixtralConfig

import harmcircuits as hc
from harmcircuits.capacity import memory, rates
from harmcircuits.capacity.commands import COMMANDS, PAPER, conditions
from harmcircuits.capacity.laid_out import laid_out
from harmcircuits.capacity.limit import HEADROOM
from harmcircuits.capacity.needed import Needed, memory_needed, peaks_of
from harmcircuits.capacity.planned import seconds
from harmcircuits.capacity.texts import Texts
from harmcircuits.capacity.work import Rows, Work, attribution, forward, generation, weight_attribution
from harmcircuits.claims.compactness import cost as compactness_cost
from harmcircuits.claims.dissociated import cost as dissociated_cost
from harmcircuits.claims.generality import cost as generality_cost
from harmcircuits.claims.paper.registry import CLAIMS
from harmcircuits.experiments.settings import Settings
from harmcircuits.models.fetch import LoadError
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import geometry
from harmcircuits.models.shape import Shape, model_shape, shape_of
from harmcircuits.prompts.readers import load_prompts

RATES = {"flops": 1e11, "bandwidth": 1e10, "memory": 16e9}
SIZES = {"n_layers": 2, "d_model": 8, "n_heads": 2, "n_kv_heads": 1, "d_head": 4, "d_mlp": 16}
SMALL = Shape(**SIZES, vocabulary=32, parameters=2000, matrices=1000, largest=128)


def llama(**sizes: int) -> LlamaConfig:
    return LlamaConfig(**{"num_hidden_layers": 32, "vocab_size": 128_256, "num_key_value_heads": 8, **sizes})


# shapes


@pytest.mark.model
@pytest.mark.parametrize("name", [*MODELS, *SEEING])
def test_a_shape_is_that_of_the_loaded_model(name: str, tmp_path: Path) -> None:
    hf_model = random_model(name)
    place = tmp_path if name in SEEING else name  # TransformerLens looks there for what reads images
    shape, model = shape_of(hf_model.config), bridge_around(place, hf_model)
    assert shape.geometry == geometry(model)
    sizes = [matrix.parameter.numel() for matrix in matrices(model)]
    assert (shape.matrices, shape.parameters) == (sum(sizes), sum(p.numel() for p in hf_model.parameters()))
    grouped = name not in ("gpt2", *PYTHIA)
    assert shape.n_kv_heads == (2 if grouped else 4)


def test_a_folder_and_a_gguf_file_of_the_same_model_have_the_same_shape(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())
    assert model_shape(folder) == model_shape(tmp_path / "tiny.gguf") == shape_of(tiny_model().config)


def test_a_model_of_seventy_billion_is_counted_without_memory() -> None:
    shape = shape_of(llama(num_hidden_layers=80, hidden_size=8192, intermediate_size=28_672, num_attention_heads=64))
    assert shape.parameters == 70_553_706_496  # as published
    assert shape_of(GPT2Config()).parameters == 124_439_808


def test_what_cannot_be_studied_is_told_from_its_configuration(tmp_path: Path) -> None:
    MixtralConfig(architectures=["MixtralForCausalLM"]).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match=r"is a mixture of experts \(MixtralForCausalLM, 8 a layer\).*Dense decoder-only"):
        hc.plan(tmp_path, **RATES)
    with pytest.raises(LoadError, match="no transformers folder, since it has no config"):
        model_shape(tmp_path.parent)
    (tmp_path / "text.gguf").write_bytes(b"GGUF")
    with pytest.raises(LoadError, match="cut short or damaged"):
        model_shape(tmp_path / "text.gguf")
    with pytest.raises(LoadError, match="Did you mean 'smollm2-135m-instruct'"):
        model_shape("smolm2-135m-instruct")
    with pytest.raises(LoadError, match="no such file or folder"):
        model_shape(tmp_path / "none.gguf")
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set"):
        model_shape("someone/model")


@pytest.mark.parametrize(
    "wrong", [{"num_attention_heads": 0}, {"hidden_size": -64}, {"intermediate_size": "wide"}, {"vocab_size": 0}]
)
def test_a_configuration_of_impossible_sizes_is_told(wrong: dict[str, object], tmp_path: Path) -> None:
    place = tmp_path / "config.json"
    place.write_text(json.dumps(tiny_model().config.to_dict() | wrong), "utf-8")
    with pytest.raises(LoadError, match=r"cannot be read|cannot lay out"):
        hc.plan(tmp_path, **RATES)
    with pytest.raises(LoadError):
        hc.load_model(tmp_path)


# work


def test_work_by_hand() -> None:
    """Two FLOPs a weight and token, 4·d_head for each pair of positions and head, two a word and coordinate asked."""
    rows = Rows(n=3, length=5, asked=2, batch=3)
    read, scored = forward(SMALL, rows, element=4), attribution(SMALL, rows, element=4)
    heads = 2 * 8 * 4 * (2 + 2 * 1) * 15  # of the first layer's queries, keys and values no gradient is taken
    linear, pairs, words = 2 * 1000 * 15, 4 * 2 * 2 * 4 * 5 * 15, 2 * 32 * 8 * 6
    assert read.flops == linear + pairs + words
    assert scored.flops == read.flops + linear - heads + 2 * pairs / 2 + words
    assert (read.tokens, read.passes, scored.tokens) == (15, 1, 15)
    for absolute in (False, True):
        weighed = weight_attribution(SMALL, rows, element=4, absolute=absolute)
        assert weighed.flops - scored.flops == linear + heads + pairs
        assert weighed.bytes - scored.bytes == (3 if absolute else 1) * 8 * 1000
    assert generation(SMALL, Rows(n=3, length=5, batch=3), 4, element=4).tokens == 15 + 12


@given(n=st.integers(1, 40), times=st.integers(2, 5), length=st.integers(2, 50))
def test_work_grows_linearly_in_prompts_heads_and_neurons(n: int, times: int, length: int) -> None:
    """Twice the batches are twice the work; and what heads and neurons add is what as many more add again."""
    rows = Rows(n=8 * n, length=length, batch=8)
    for work in (forward, attribution):
        one, more = (work(SMALL, replace(rows, n=k * 8 * n), element=4) for k in (1, times))
        assert tuple(vars(more).values()) == pytest.approx(tuple(vars(times * one).values()))
    for part, weights in (("n_heads", 4 * 8 * 4 * 2), ("d_mlp", 3 * 8 * 2)):
        grown = [
            attribution(
                replace(SMALL, **{part: getattr(SMALL, part) + k}, matrices=SMALL.matrices + k * weights), rows, element=4
            )
            for k in (0, 1, 2)
        ]
        for of in ("flops", "bytes"):
            first, second = (getattr(grown[k + 1], of) - getattr(grown[k], of) for k in (0, 1))
            assert first == pytest.approx(second) and first > 0


def test_sums_and_multiples_of_work() -> None:
    one = Work(1, 2, 3, 4, 5, 2)
    assert one + one == 2 * one == one * 2 == Work(2, 4, 6, 8, 10, 4)


# memory


def test_weights_of_eight_billion_fit_one_card_in_blocks_of_layers() -> None:
    shape = shape_of(llama(hidden_size=4096, intermediate_size=14_336, num_attention_heads=32))
    assert 8.0e9 < shape.parameters < 8.1e9
    held = rates.CARDS["h100"].memory
    how = {"gpu": True, "memory": held}
    half, full = ({peak.step: peak for peak in peaks_of(shape, Texts(), 32, element=element, **how)} for element in (2, 4))
    assert half["loading"].bytes == 2 * shape.parameters and half["scores of weights"].bytes < held
    assert half["scores of weights"].passes_over_data == full["scores of weights"].passes_over_data == 1
    blocks = peaks_of(shape, Texts(), 32, element=2, gpu=True, memory=40e9)[2]
    assert blocks.passes_over_data == 2 and blocks.bytes < 40e9


def test_memory_grows_with_the_batch_alone_beyond_the_weights() -> None:
    rows = Rows(n=64, length=50, asked=10, batch=8)
    once, twice = (memory.activations(SMALL, replace(rows, batch=batch), element=4).bytes for batch in (8, 16))
    assert twice - once == once - 4 * SMALL.parameters > 0


def test_what_a_device_lacks_is_told_before_a_model_is_loaded(tmp_path: Path) -> None:
    llama(hidden_size=4096, intermediate_size=14_336, num_attention_heads=32).save_pretrained(tmp_path)
    shape = model_shape(tmp_path)
    there = memory_needed(tmp_path, device="h100", dtype=torch.bfloat16, new=48)
    assert there.fits and there.short() == [] and str(there).endswith("; the device has 80.0 GB") and "\n" not in str(there)
    less = peaks_of(shape, Texts(), 48, element=2, gpu=True, memory=22e9)
    line, *short = str(Needed(less, 22e9, gpu=True)).split("\n")
    assert f"(and {8 * shape.matrices / 1e9:.1f} GB on the host)" in line
    assert memory_needed(tmp_path, device="cpu").peaks[2].host == 0, "there the scores are among what lies beside the model"
    assert short[-1].startswith("does not fit: scores of weights needs") and "90% of 22.0 GB" in short[-1]
    edge = there.of(there.peaks[0]) / HEADROOM
    assert Needed(there.peaks[:1], 1.01 * edge, gpu=True).fits and not Needed(there.peaks[:1], 0.99 * edge, gpu=True).fits
    assert Needed(there.peaks, None, gpu=True).fits is None and "the device has" not in str(Needed(there.peaks, None, gpu=True))


# plans


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    tiny_model().config.save_pretrained(folder)
    return folder


def test_conditions_are_those_that_claims_count_themselves(small: Path) -> None:
    settings, shape = Settings(), model_shape(small)
    material = laid_out(shape, load_prompts(), settings)
    counted = {command: conditions(command, material) for command in (*CLAIMS, PAPER)}
    assert counted["compactness"].whole == 1 + compactness_cost(settings, model=material.model)
    assert counted["dissociated"].whole == 1 + dissociated_cost(settings=settings)
    assert counted["generality"].light == 1 + generality_cost(settings=settings)
    claims = [counted[command] for command in CLAIMS]
    assert counted["paper"].whole == 1 + sum(count.whole - 1 for count in claims)
    assert counted["paper"].light == sum(count.light for count in claims)


def test_a_plan_adds_up(small: Path, tmp_path: Path) -> None:
    found = hc.plan(small, commands=["dissociate", "distinct"], **RATES)
    table, steps = found.table().set_index("command"), found.steps("distinct")
    assert table.loc["distinct", "seconds"] == pytest.approx(steps["seconds"].sum()) == pytest.approx(found.total("distinct"))
    expected = steps["flops"] / 1e11 + steps["bytes"] / 1e10 + steps["calls"] * rates.CALL + steps["host"] / rates.LINK
    assert steps["seconds"].tolist() == pytest.approx(expected.tolist())
    assert found._repr_html_().count("<tr") == 1 + 2 and "it fits into 16 GB" in found._repr_html_()
    assert found.fits and "it fits into 16 GB" in str(found) and repr(found).endswith("on as given, 2 commands: it fits)")
    quick = hc.plan(small, commands=["dissociate"], quick=True, **RATES)
    assert quick.total("dissociate") < found.total("dissociate") / 3
    written = json.loads(found.save(tmp_path / "plan.json").read_text())
    assert written["commands"]["distinct"]["seconds"] == pytest.approx(found.total("distinct"))
    assert written["shape"]["parameters"] == tiny_model().num_parameters() and written["fits"] is True


def test_devices(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    half, full = (rates.device_named("H100", dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    assert (half.flops, full.flops) == pytest.approx((0.4 * 989e12, 0.4 * 67e12)) and half.gpu and half.memory == 80e9
    assert rates.device_named("a100", dtype=torch.float16, flops=1e12).flops == 1e12
    monkeypatch.setattr(rates, "measured", lambda *_, **__: pytest.fail("nothing is measured"))
    assert rates.device_named("mine", dtype=torch.float32, flops=1.0, bandwidth=2.0).source.startswith("given, a GPU's")
    with pytest.raises(rates.RateError, match=r"flops must be a positive number, not 0\.0"):
        rates.device_named(None, dtype=torch.float32, flops=0.0)
    with pytest.raises(rates.RateError, match=r"knows no device 'b900'.*not here may be h100, h200, a100"):
        rates.device_named("b900", dtype=torch.float32)
    with pytest.raises(rates.RateError, match="there is no plan for 'report': choose of dissociate, rec"):
        hc.plan(small, commands=["report"])


def test_products_for_weights_are_float32_and_take_its_rate() -> None:
    card, rows = rates.device_named("h100", dtype=torch.bfloat16), Rows(n=8, length=64)
    work = weight_attribution(SMALL, rows, element=2, absolute=True)
    assert work.full == 2 * 1000 * 8 * 64
    slower = work.full / (0.4 * 67e12) - work.full / (0.4 * 989e12)
    assert seconds(work, card) - seconds(replace(work, full=0), card) == pytest.approx(slower)


def test_an_example_s_product_is_written_on_a_gpu_before_it_is_added() -> None:
    for absolute, more in ((True, 16 * 1000 * 8), (False, 0)):
        cpu, gpu = (
            weight_attribution(SMALL, Rows(n=8, length=64), element=2, absolute=absolute, gpu=on).bytes for on in (False, True)
        )
        assert gpu - cpu == more


def test_rates_are_measured_where_none_are_given() -> None:
    found = rates.device_named("cpu", dtype=torch.float32)
    assert 1e8 < found.flops < 1e15 and 1e8 < found.bandwidth < 1e13 and not found.gpu
    assert found.memory > 1e8 and "products of 1024 × 1024 matrices" in found.source


# the command


def test_the_command_prints_what_is_planned_and_writes_it(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    options = ("--model", small, "--flops", 1e11, "--bandwidth", 1e10, "--memory", 16, "--json", tmp_path / "plan.json")
    monkeypatch.setattr("sys.argv", ["harmcircuits", "plan", *map(str, options)])
    shown = call("plan", *options)
    assert shown.exit_code == 0 and "it fits into 16 GB" in shown.output and "peak memory" in shown.output
    assert all(command in shown.output for command in COMMANDS)
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["command"] == shlex.join(["harmcircuits", "plan", *map(str, options)])
    expected = hc.plan(small, **RATES)
    assert {name: own["seconds"] for name, own in written["commands"].items()} == pytest.approx(
        {name: expected.total(name) for name in COMMANDS}
    )
    steps = call("plan", "distinct", *options, "--quick")
    assert "scores of weights" in steps.output and "conditions, every task" in steps.output


def test_the_command_tells_what_is_wrong_in_a_line(tmp_path: Path) -> None:
    MixtralConfig(architectures=["MixtralForCausalLM"]).save_pretrained(tmp_path)
    for options, message in (
        (("--model", tmp_path), "is a mixture of experts"),
        (("report", "--model", tmp_path), "there is no plan for 'report'"),
        (("--model", tmp_path, "--dtype", "int4"), "'int4' is not one of"),
    ):
        shown = call("plan", *options)
        assert shown.exit_code != 0 and message in " ".join(shown.output.split()) and "Traceback" not in shown.output

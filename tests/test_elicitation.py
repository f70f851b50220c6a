"""Responses the model wrote itself: the same however asked, cached under everything they depend on, never logged."""

import json
import logging

import pytest
import torch
from conftest import KINDS
from tiny import SPECIAL, tiny_bridge
from written import PROMPTS

from harmcircuits import store
from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.generate import generate
from harmcircuits.circuits import Circuit
from harmcircuits.data import Prompt, chat_frame, loss
from harmcircuits.data import elicit as elicitation
from harmcircuits.data.elicit import elicit, sample
from harmcircuits.data.examples import prompt_ids
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models import model_key as keys
from harmcircuits.models.model_key import model_hash, model_key
from harmcircuits.store import bytes_of

SHORT = {"max_new_tokens": 6}
CIRCUIT = Circuit(heads=[(0, 1), (0, 2), (1, 3)], neurons=[(0, 5)])


def cached():
    return sorted((store.cache_dir() / "responses").glob("*"))


def n_responses():
    return sum(len(json.loads(path.read_text())["responses"]) for path in cached())


@pytest.fixture
def no_sampling(monkeypatch):
    """From `start()` on, the model must not be asked to write."""

    def refuse(*args, **options):
        raise AssertionError("the model was asked to write")

    return lambda: monkeypatch.setattr(elicitation, "sample", refuse)


# what is written


def test_a_string_is_a_request_without_a_prefill(tiny):
    request, how = PROMPTS[0].request, {"temperature": 0, **SHORT}
    as_prompt = elicit(tiny, [Prompt(request=request)], **how)
    assert elicit(tiny, request, **how) == elicit(tiny, [request], **how) == generate(tiny, request, **how) == as_prompt
    with pytest.raises(HarmcircuitsError, match="prompt 0 is of type Example: give a request as a string"):
        elicit(tiny, as_prompt)


def test_examples_carry_their_prompt_and_the_very_ids_that_were_sampled(tiny):
    examples = elicit(tiny, PROMPTS, **SHORT)
    frame = chat_frame(tiny)
    for prompt, example in zip(PROMPTS, examples, strict=True):
        assert {name: getattr(example, name) for name in vars(prompt)} == vars(prompt)
        assert example.response == tiny.tokenizer.decode(example.response_ids, skip_special_tokens=True)
        assert 1 <= len(example.response_ids) <= 6
        assert not {*frame.stops} & {*example.response_ids[:-1]}
    assert loss(tiny, examples).isfinite().all()
    rows = [prompt_ids(tiny, frame, prompt.request, prompt.prefill) for prompt in PROMPTS]
    greedy = sample(tiny, rows, max_new_tokens=6, temperature=0, stop_ids=frame.stops)
    assert [list(example.response_ids) for example in elicit(tiny, PROMPTS, temperature=0, **SHORT)] == greedy


def test_a_response_depends_neither_on_order_nor_on_batch(tiny):
    examples = elicit(tiny, PROMPTS, cache=False, **SHORT)
    assert elicit(tiny, PROMPTS[::-1], cache=False, **SHORT) == examples[::-1]
    assert elicit(tiny, PROMPTS, cache=False, batch_size=1, **SHORT) == examples
    assert elicit(tiny, PROMPTS[1:2], cache=False, **SHORT) == examples[1:2]
    assert elicit(tiny, PROMPTS, cache=False, seed=1, **SHORT) != examples


def test_an_end_of_turn_is_the_last_id_and_no_text(tiny):
    end = SPECIAL.index("<|im_end|>")

    def always_end(logits, hook):
        return torch.nn.functional.one_hot(torch.tensor(end), logits.shape[-1]).expand_as(logits) * 1000.0

    name = "unembed.hook_out" if "unembed.hook_out" in tiny.hook_dict else "unembed.hook_unembed"
    with tiny.hooks(fwd_hooks=[(name, always_end)]):
        examples = elicit(tiny, PROMPTS, **SHORT)
    assert {example.response_ids for example in examples} == {(end,)}
    assert {example.response for example in examples} == {""}
    assert loss(tiny, examples).isfinite().all(), "a response of nothing but its end can be scored"


# the cache


def test_the_second_time_the_model_is_not_asked(tiny, no_sampling):
    first = elicit(tiny, PROMPTS, **SHORT)
    no_sampling()
    assert elicit(tiny, PROMPTS, **SHORT) == first
    assert elicit(tiny, PROMPTS, batch_size=1, **SHORT) == first, "the batch is no part of the key"
    with pytest.raises(AssertionError, match="was asked to write"):
        elicit(tiny, PROMPTS, cache=False, **SHORT)


@pytest.mark.parametrize("other", [{"seed": 1}, {"temperature": 0.5}, {"max_new_tokens": 5}])
def test_other_settings_are_cached_apart(tiny, other):
    elicit(tiny, PROMPTS, **SHORT)
    elicit(tiny, PROMPTS, **SHORT | other)
    assert n_responses() == 2 * len(PROMPTS)


@pytest.mark.model
def test_the_hash_of_all_weights_is_taken_once_and_again_after_any_change(tmp_path, monkeypatch):
    model, digested = tiny_bridge(tmp_path / "model"), []
    monkeypatch.setattr(keys, "bytes_of", lambda tensor: digested.append(tensor.numel()) or bytes_of(tensor))
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    first = model_hash(model)
    full = sum(digested)
    digested.clear()
    assert model_hash(model) == first and sum(digested) < full - n_weights / 2, "a second call reads samples alone"
    parameter = next(model.parameters())
    with torch.no_grad():
        parameter[0] += 1
    second = model_hash(model)
    parameter.data = parameter.data + 1  # raises no version
    assert len({first, second, model_hash(model)}) == 3


ROPE = {"rope_type": "default", "rope_theta": 50.0}


@pytest.mark.model
@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_in_another_configuration_are_cached_apart(tmp_path, kind):
    sizes = ({}, {}, {"rope_parameters": ROPE}, {"seed": 1})
    models = [tiny_bridge(tmp_path / str(at), hooked=kind == "hooked", **own) for at, own in enumerate(sizes)]
    first, same, other, _ = models
    assert model_hash(first) == model_hash(other), "the weights do not tell"
    assert len({*map(model_key, models)}) == 3 and model_key(first) == model_key(same)
    written = elicit(first, PROMPTS, **SHORT)
    assert elicit(same, PROMPTS, **SHORT) == written and len(cached()) == 1, "where it was loaded from does not matter"
    assert elicit(other, PROMPTS, **SHORT) == elicit(other, PROMPTS, cache=False, **SHORT) != written
    assert len(cached()) == 2


@pytest.mark.model
def test_what_changes_no_output_is_no_part_of_the_key(tmp_path):
    model = tiny_bridge(tmp_path / "model")
    key, config = model_key(model), model.original_model.config
    config.use_cache, config._name_or_path, config.output_attentions = False, "elsewhere", False
    assert model_key(model) == key
    config.rms_norm_eps *= 2
    assert model_key(model) != key


def test_prompts_that_are_encoded_otherwise_are_cached_apart(tiny, monkeypatch):
    first = elicit(tiny, PROMPTS, **SHORT)
    ids = elicitation.prompt_ids
    monkeypatch.setattr(elicitation, "prompt_ids", lambda *arguments: [*ids(*arguments), 77])
    assert elicit(tiny, PROMPTS, **SHORT) != first and n_responses() == 2 * len(PROMPTS)


def test_another_selection_of_the_same_prompts_writes_nothing_twice(tiny, no_sampling):
    whole = elicit(tiny, PROMPTS, **SHORT)
    no_sampling()
    assert elicit(tiny, PROMPTS[::-1][:2], **SHORT) == whole[::-1][:2]


@pytest.fixture
def interrupted(tiny, monkeypatch):
    """A call that was stopped with Ctrl-C in its second batch of two; returns the file that it left."""

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(elicitation, "sample", stopping_after(1))
        elicit(tiny, PROMPTS, batch_size=2, **SHORT)
    (path,) = cached()
    return path


def stopping_after(batches):
    """`sample`, interrupted while the batch after so many is being written."""
    passed = []

    def stopped(*arguments, finished, **options):
        def told(batch):
            if len(passed) == batches:
                raise KeyboardInterrupt
            passed.append(batch)
            finished(batch)

        return sample(*arguments, finished=told, **options)

    return stopped


def test_what_was_written_before_an_interrupt_is_kept(tiny, interrupted):
    kept = json.loads(interrupted.read_text())["responses"].values()
    whole = elicit(tiny, PROMPTS, cache=False, batch_size=2, **SHORT)
    assert sorted(kept) == sorted(list(whole[row].response_ids) for row in (0, 2)), "the two longest prompts come first"


def test_a_call_after_an_interrupt_writes_only_what_is_missing(tiny, interrupted, monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(elicitation, "sample", lambda *a, rows, **k: asked.append(rows) or sample(*a, rows=rows, **k))
    continued = elicit(tiny, PROMPTS, batch_size=2, progress=True, **SHORT)
    assert asked == [[1, 3]]
    assert "2/4" in capfd.readouterr().err, "the bar begins where the last one ended"
    assert elicit(tiny, PROMPTS, **SHORT) == continued and asked == [[1, 3]] and len(cached()) == 1
    assert elicit(tiny, PROMPTS, cache=False, batch_size=2, **SHORT) == continued, "as if nothing had happened"


def test_a_damaged_file_is_named(tiny):
    elicit(tiny, PROMPTS, **SHORT)
    (path,) = cached()
    path.write_text(path.read_text()[:-20])
    with pytest.raises(HarmcircuitsError, match=r"responses.*not JSON"):
        elicit(tiny, PROMPTS, **SHORT)


def test_hooks_that_are_set_keep_away_from_the_cache(tiny, caplog):
    intact = elicit(tiny, PROMPTS, **SHORT)
    with ablated(tiny, CIRCUIT):
        changed = elicit(tiny, PROMPTS, **SHORT)
        assert changed == elicit(tiny, PROMPTS, cache=False, **SHORT)
    assert changed != intact, "not the responses of the intact model"
    assert "hooks are set on the model" in caplog.text
    assert len(cached()) == 1
    assert elicit(tiny, PROMPTS, **SHORT) == intact, "nor is the cache spoiled"


# logs and errors


def test_neither_requests_nor_responses_are_logged(tiny, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    examples = elicit(tiny, PROMPTS, progress=True, **SHORT)
    elicit(tiny, PROMPTS, **SHORT)
    told = caplog.text + "".join(capfd.readouterr())
    for example in examples:
        for text in (example.request, example.prefill, example.response):
            assert len(text) < 6 or text not in told
        assert str(list(example.response_ids)) not in told


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([], {}, "no prompts: there is nothing to elicit"),
        (PROMPTS, {"max_new_tokens": 0}, "max_new_tokens must be at least 1 and temperature a number of at least 0, not 0 and"),
        (PROMPTS, {"temperature": float("nan")}, "not 48 and nan"),
        ([*PROMPTS, Prompt(request="very long " * 300)], {}, r"prompt 4 is \d+ tokens long, and the model's context holds 512"),
    ],
)
def test_what_cannot_be_elicited(tiny, prompts, settings, message):
    with pytest.raises(HarmcircuitsError, match=message):
        elicit(tiny, prompts, **settings)


def test_a_cache_that_cannot_be_written_says_so(tiny):
    (store.cache_dir() / "responses").write_text("a file in the place of a folder")
    with pytest.raises(HarmcircuitsError, match=r"responses.*cannot be written"):
        elicit(tiny, PROMPTS, **SHORT)

"""Continuing from a shared prefix, and sampling: against whole forward passes of transformers, one row at a time."""

import copy

import plain
import pytest
import torch
from tiny import tiny_model, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from harmcircuits.circuits import Circuit
from harmcircuits.data.elicit import sample
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models import forward
from harmcircuits.models.forward import logits_at, logits_sharing_prefix, read_prefix
from harmcircuits.models.load import load_model

# none meets a near tie: along each greedy path the best token leads by at least 0.002
PROMPTS = [list(range(5, 17)), [40, 41, 42], list(range(101, 129)), [77]]
PREFIX = list(range(200, 223))
CIRCUIT = Circuit(heads=[(0, 1), (1, 2)], neurons=[(0, 3), (0, 60), (1, 17)])


def continued(model, before, rows: list[list[int]]) -> list[torch.Tensor]:
    """Logits at every token of rows padded on the right, after `before`."""
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        found = logits_at(model, tokens, mask, torch.arange(tokens.numel()), past=before).view(*tokens.shape, -1)
    return [own[: len(row)] for own, row in zip(found, rows, strict=True)]


def check_continued(found, hf_model, rows):
    for own, row in zip(found, rows, strict=True):
        whole = plain.logits(hf_model, [*PREFIX, *row])[len(PREFIX) :]
        assert (own - whole).abs().max() < 1e-4


@pytest.fixture(scope="module")
def gpt2():
    """A tiny GPT-2, which has learned positions, unlike Llama, and the same in plain transformers."""
    config = GPT2Config(n_layer=2, n_head=4, n_embd=32, n_positions=128, vocab_size=512, initializer_range=0.2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        hf_model = GPT2LMHeadModel(config).eval()
    reference = copy.deepcopy(hf_model)
    return load_model("gpt2", hf_model=hf_model, tokenizer=tiny_tokenizer(), device="cpu"), reference


# a shared prefix


def test_continuing_from_a_prefix_is_one_whole_forward_pass(tiny):
    before = read_prefix(tiny, torch.tensor(PREFIX))
    check_continued(continued(tiny, before.repeated(len(PROMPTS)), PROMPTS), tiny_model(), PROMPTS)


@pytest.mark.model
def test_continuing_with_learned_positions(gpt2):
    model, reference = gpt2
    before = read_prefix(model, torch.tensor(PREFIX))
    check_continued(continued(model, before.repeated(len(PROMPTS)), PROMPTS), reference, PROMPTS)


def test_a_continuation_can_be_continued(tiny):
    before = read_prefix(tiny, torch.tensor(PREFIX)).repeated(1)
    continued(tiny, before, [PROMPTS[0][:5]])
    rest = continued(tiny, before, [PROMPTS[0][5:]])
    whole = plain.logits(tiny_model(), [*PREFIX, *PROMPTS[0]])[len(PREFIX) + 5 :]
    assert (rest[0] - whole).abs().max() < 1e-4


def test_what_all_rows_begin_with_is_read_once(tiny, monkeypatch):
    rows = [PREFIX + row for row in PROMPTS[:3]]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    positions = torch.tensor([row * longest + at for row, own in enumerate(rows) for at in range(len(PREFIX), len(own))])
    widths = []
    monkeypatch.setattr(forward, "logits_at", lambda model, t, *a, **k: widths.append(t.shape) or logits_at(model, t, *a, **k))
    with torch.no_grad():
        found, whole = logits_sharing_prefix(tiny, tokens, mask, positions), logits_at(tiny, tokens, mask, positions)
    assert (found - whole).abs().max() < 1e-4
    assert widths == [(1, len(PREFIX)), (3, longest - len(PREFIX))]


def test_keys_and_values_that_are_not_kept_are_an_error(tiny, monkeypatch):
    """As with a transformers that gives them to attention under another name than TransformerLens looks for."""
    if type(tiny).__name__ == "HookedTransformer":
        pytest.skip("its own class keeps them")
    options = forward.Past.options
    lost = lambda self, mask: {**options(self, mask), "past_key_values": None}
    monkeypatch.setattr(forward.Past, "options", lost)
    with pytest.raises(HarmcircuitsError, match=r"keys and values of 0 tokens and has read 5: .*transformers<5\.24"):
        forward.read_prefix(tiny, torch.tensor([5, 6, 7, 8, 9]))


# greedy


def test_greedy_is_the_best_token_of_a_whole_forward_pass_each_time(tiny):
    written = sample(tiny, PROMPTS, max_new_tokens=8, temperature=0)
    assert written == [plain.greedy(tiny_model(), prompt, 8) for prompt in PROMPTS]
    assert len({tuple(row) for row in written}) > 1


@pytest.mark.model
def test_padding_does_not_shift_learned_positions(gpt2):
    model, reference = gpt2
    written = sample(model, PROMPTS, max_new_tokens=8, temperature=0)
    assert written == [plain.greedy(reference, prompt, 8) for prompt in PROMPTS]


# sampling


def test_a_row_depends_on_its_seed_and_not_on_order_or_batch(tiny):
    seeds = [3, 1, 4, 1]
    rows = sample(tiny, PROMPTS, max_new_tokens=10, seeds=seeds)
    assert rows == sample(tiny, PROMPTS, max_new_tokens=10, seeds=seeds)
    for batch_size in (1, 2, 3):
        assert rows == sample(tiny, PROMPTS, max_new_tokens=10, seeds=seeds, batch_size=batch_size)
    assert rows[::-1] == sample(tiny, PROMPTS[::-1], max_new_tokens=10, seeds=seeds[::-1])
    assert [row[:4] for row in rows] == sample(tiny, PROMPTS, max_new_tokens=4, seeds=seeds), "longer is only longer"
    others = sample(tiny, PROMPTS, max_new_tokens=10, seeds=[seed + 100 for seed in seeds])
    assert all(row != other for row, other in zip(rows, others, strict=True))


@pytest.mark.parametrize("temperature", [2.5])
def test_tokens_are_drawn_as_often_as_the_model_says(tiny, temperature):
    n = 1500
    p = (plain.logits(tiny_model(), PROMPTS[1])[-1] / temperature).softmax(-1)
    drawn = sample(tiny, [PROMPTS[1]] * n, max_new_tokens=1, seeds=range(n), temperature=temperature, batch_size=n)
    counts = torch.bincount(torch.tensor(drawn)[:, 0], minlength=len(p))
    for token in p.topk(5).indices.tolist():
        share = float(p[token])
        assert counts[token] / n == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5), "four standard errors"


# ends


def test_a_stop_id_is_kept_and_ends_its_row_alone(tiny):
    free = sample(tiny, PROMPTS, max_new_tokens=10, seeds=[5, 6, 7, 8])
    stops = [free[0][4], free[2][0]]
    ends = [next((at + 1 for at, token in enumerate(row) if token in stops), 10) for row in free]
    assert ends[0] <= 5 and ends[2] == 1 and max(ends) == 10
    stopped = sample(tiny, PROMPTS, max_new_tokens=10, seeds=[5, 6, 7, 8], stop_ids=stops)
    assert stopped == [row[:end] for row, end in zip(free, ends, strict=True)]


def test_some_rows_are_written_as_if_all_were(tiny):
    seeds = [3, 1, 4, 1]
    whole = sample(tiny, PROMPTS, max_new_tokens=6, seeds=seeds)
    assert sample(tiny, PROMPTS, max_new_tokens=6, seeds=seeds, rows=[2, 0]) == [whole[0], [], whole[2], []]


def on_logits(model, change):
    """A hook that makes `change` of the logits [row, d_vocab], which the model has as [1, row, d_vocab]."""
    name = "unembed.hook_out" if "unembed.hook_out" in model.hook_dict else "unembed.hook_unembed"
    return name, lambda logits, hook: change(logits[0])[None]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seeds": [1, 2, 3, 4]}])
def test_logits_that_are_no_numbers_are_an_error_and_no_text(tiny, settings):
    """They would be sampled as the last id of the vocabulary, and be taken for a response."""
    passes = []

    def overflow(logits):  # third of the longest first is the row 1
        passes.append(1)
        return logits.index_fill(0, torch.tensor(2), float("nan")) if len(passes) == 3 else logits

    expected = r"row 1, step 2: the model's logits are not finite.*dtype=torch\.float32"
    with tiny.hooks(fwd_hooks=[on_logits(tiny, overflow)]), pytest.raises(HarmcircuitsError, match=expected):
        sample(tiny, PROMPTS, max_new_tokens=5, **settings)

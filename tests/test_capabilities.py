"""Sentences to be finished: enough, unambiguous in form, divided without overlap, and read as each alone."""

from collections import Counter

import pytest

from harmcircuits.data import example_rows, loss
from harmcircuits.tasks.capabilities import (
    HALVES,
    REQUEST,
    CapabilityError,
    Completion,
    as_example,
    capabilities,
    checked,
    half,
    read_completions,
)

KINDS = ("facts", "arithmetic", "grammar")
EVERY = capabilities()
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty""".split()  # noqa: SIM905 — quoted words are harder to read


def test_there_are_three_capabilities_with_enough_sentences_of_many_topics() -> None:
    assert tuple(EVERY) == KINDS
    for kind, items in EVERY.items():
        counts = Counter(item.topic for item in items)
        assert len(items) >= 120 and len(counts) >= 8 and max(counts.values()) <= 0.15 * len(items), kind
        assert len({item.stem for item in items}) == len(items), "no sentence twice"


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_completion_is_not_among_the_wrong_ones(kind: str) -> None:
    for item in EVERY[kind]:
        completions = (item.right, *item.wrong)
        assert len({one.casefold() for one in completions}) == len(completions) > 1, item
        assert all(one[0] == " " and one[1:] == one.strip() for one in completions), item
        assert item.stem == item.stem.strip() and item.request == REQUEST


def number(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS.index(word.lower())


def counted(item: Completion) -> int:
    """What a sentence of arithmetic comes to, worked out from its words."""
    words = item.stem.replace("Now", "").replace(",", " ").replace(".", " ").split()
    found = [number(word) for word in words if word.isdigit() or word.lower() in NUMBERS]
    if item.topic == "sequences":
        return 2 * found[-1] - found[-2]
    first, second = found
    if item.topic.startswith("products"):
        return first * second
    return first + second if item.topic.startswith(("sums", "gains")) else first - second


def test_arithmetic_is_right_and_its_wrong_answers_are_wrong() -> None:
    for item in EVERY["arithmetic"]:
        assert number(item.right.strip()) == counted(item), item
        assert all(number(wrong.strip()) != counted(item) and number(wrong.strip()) > 0 for wrong in item.wrong), item


@pytest.mark.parametrize("kind", KINDS)
def test_halves_are_disjoint_whole_and_alike(kind: str) -> None:
    training, test = (half(EVERY[kind], which) for which in HALVES)
    assert set(training) | set(test) == set(EVERY[kind]) and not set(training) & set(test)
    counts = [Counter(item.topic for item in part) for part in (training, test)]
    assert all(abs(counts[0][topic] - counts[1][topic]) <= 1 for topic in counts[0])
    assert len({item.topic for item in training[: len(counts[0])]}) == len(counts[0]), "the first few are mixed"


def test_unknown_names_and_capabilities_without_enough_are_refused() -> None:
    with pytest.raises(CapabilityError, match=r"no half 'validation': choose one of training, test"):
        half(EVERY["facts"], "validation")  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match=r"'few' has 2 sentences to attribute and 1 to test, and at least 2"):
        checked({"few": [made_up("a", topic=" one") for _ in range(3)]}, fewest=2)
    twice = [Completion(stem=stem, right=" a", wrong=(" a",), topic="") for stem in "abcd"]
    with pytest.raises(CapabilityError, match="right one is among the wrong ones"):
        checked({"twice": twice}, fewest=2)


def made_up(stem: str, *, topic: str = "") -> Completion:
    return Completion(stem=stem, right=" red", wrong=(" blue", " a red door"), topic=topic)


def test_a_stem_stands_where_a_prefill_does(tiny) -> None:
    item = EVERY["grammar"][0]
    (row,), (bare,) = example_rows(tiny, [as_example(item)]), example_rows(tiny, [as_example(item, " is")])
    assert row.tokens[: row.start] == bare.tokens[: bare.start], "completions follow the same tokens"
    text = tiny.tokenizer.decode(row.tokens)
    assert text.index(REQUEST) < text.index(item.stem) and text.endswith(item.stem + item.right)


def test_losses_and_margins_are_those_of_each_completion_alone(tiny) -> None:
    items = [EVERY[kind][at] for kind in KINDS for at in range(2)]
    found = read_completions(tiny, items)
    for row, item in zip(found.itertuples(), items, strict=True):
        right, *wrong = (float(loss(tiny, [as_example(item, one)])) for one in (item.right, *item.wrong))
        assert row.nll == pytest.approx(right, abs=1e-4) and row.margin == pytest.approx(min(wrong) - right, abs=1e-4)
        assert row.right == (row.margin > 0) and row.chance == 1 / (1 + len(item.wrong)) and row.topic == item.topic
    alone = read_completions(tiny, items, batch_size=1)
    assert found["margin"].to_numpy() == pytest.approx(alone["margin"].to_numpy(), abs=1e-4)

"""PromptSet: roles, triples, tables, samples, addition, digest, and what it refuses."""

import pytest

from harmcircuits.data import Prompt, PromptSet
from harmcircuits.data.prompt_set import Triple
from harmcircuits.errors import HarmcircuitsError

TOPICS = ("kettle", "ladder", "garden", "violin", "pancake", "bicycle", "curtain", "marble", "compass", "blanket")


def triple(number: int, *, category: str, words: str = "") -> list[Prompt]:
    topic = words or f"{TOPICS[number % 10]} {number}"
    group = f"{category}-{number}"
    texts = {
        "harmful": f"Hide the {topic} now.",
        "near": f"Show the {topic} now.",
        "far": f"Draw {number} birds on paper.",
    }
    return [
        Prompt(request=text, prefill="Sure:", category=category, group=group, role=role, harm_group="pranks")
        for role, text in texts.items()
    ]


@pytest.fixture
def triples() -> PromptSet:
    counts = {"a": 12, "b": 6, "c": 2}
    return PromptSet([p for c, n in counts.items() for i in range(n) for p in triple(i, category=c)], "mine")


def test_roles_and_triples(triples: PromptSet) -> None:
    extra = Prompt(request="Sing.", role="far", category="b", group="incomplete")
    prompts = triples + PromptSet([extra])
    assert len(prompts) == 61 and prompts.prompts[-1] is extra
    assert [len(prompts.harmful), len(prompts.near_twins), len(prompts.far_twins)] == [20, 20, 21]
    assert prompts.benign == prompts.near_twins + prompts.far_twins
    assert set(prompts) == set(prompts.harmful + prompts.benign)
    assert prompts.triples == tuple(Triple(*prompts.prompts[i : i + 3]) for i in range(0, 60, 3))
    assert prompts.triples[12].near.group == "b-0" and prompts.triples[12].near.category == "b"
    assert prompts.categories == ("a", "b", "c")


def test_triples_are_found_in_whatever_order_their_prompts_come(triples: PromptSet) -> None:
    assert set(PromptSet(triples.prompts[::-1]).triples) == set(triples.triples)


def test_table_counts_every_prompt_once(triples: PromptSet) -> None:
    table = (triples + PromptSet([Prompt(request="Sing.", role="far")])).table()
    assert list(table.columns) == ["harm_group", "category", "harmful", "near", "far", "all"]
    assert table.values.tolist() == [
        ["", "", 0, 0, 1, 1],
        ["pranks", "a", 12, 12, 12, 36],
        ["pranks", "b", 6, 6, 6, 18],
        ["pranks", "c", 2, 2, 2, 6],
    ]
    assert PromptSet().table().empty


def test_sample_is_stratified_whole_and_seeded(triples: PromptSet) -> None:
    sample = triples.sample(10, seed=3)
    assert {c: sum(t.harmful.category == c for t in sample.triples) for c in "abc"} == {"a": 6, "b": 3, "c": 1}
    assert len(sample) == 30 and len(sample.triples) == 10
    assert list(sample) == [p for p in triples if p in set(sample)], "order is kept"
    assert set(triples.sample(10, seed=3)) == set(sample) == set(PromptSet(triples.prompts[::-1]).sample(10, seed=3))
    assert any(set(triples.sample(10, seed=seed)) != set(sample) for seed in range(5))
    assert triples.sample(20).prompts == triples.prompts


def test_sample_without_triples_keeps_what_is_left_of_a_group(triples: PromptSet) -> None:
    pairs = PromptSet(triples.harmful + triples.near_twins)
    sample = pairs.sample(10)
    assert len(sample) == 20 and {p.group for p in sample.harmful} == {p.group for p in sample.near_twins}
    plain = PromptSet([Prompt(request=f"Say {word}.", category=word[0]) for word in TOPICS])
    assert len(plain.sample(4)) == 4


@pytest.mark.parametrize("n", [0, 21])
def test_sample_refuses_more_than_there_are(triples: PromptSet, n: int) -> None:
    with pytest.raises(HarmcircuitsError, match=f"mine: asked for {n} of 20 triples"):
        triples.sample(n)


def test_digest_is_of_contents_alone(triples: PromptSet) -> None:
    known = PromptSet([Prompt(request="Sing.", category="music")])
    assert known.digest == "8ab67c3b9f1456c9c22543ff116a87efccfbe77bdca2ad3f797360cc8805d5a6"
    assert known.digest == PromptSet(known.prompts, "another name").digest
    changed = [
        Prompt(request="Sing!", category="music"),
        Prompt(request="Sing.", category="song"),
        Prompt(request="Sing.", category="music", prefill="La:"),
        Prompt(request="Sing.", category="music", role="far"),
        Prompt(request="Sing.", category="music", group="g"),
        Prompt(request="Sing.", category="music", harm_group="noise"),
    ]
    assert len({known.digest, *(PromptSet([prompt]).digest for prompt in changed)}) == 7
    assert PromptSet(triples.prompts[::-1]).digest != triples.digest, "elicited examples depend on the order"


def test_addition_and_slices(triples: PromptSet) -> None:
    parts = [triples[:3], triples[3:12], triples[12:]]
    assert sum(parts, PromptSet()) == triples, "one name, in order"
    assert triples[4] is triples.prompts[4]
    assert (triples[:3] + PromptSet([Prompt(request="Sing.")], "songs")).name == "mine+songs"
    with pytest.raises(TypeError):
        triples + triples.prompts  # type: ignore[operator]


def test_a_group_has_one_prompt_a_role(triples: PromptSet) -> None:
    with pytest.raises(HarmcircuitsError, match=r"mine: two prompts of one group both are the 'harmful' one") as error:
        triples + triples[:1]
    assert "Hide" not in str(error.value)

"""The built-in prompts: whole, balanced, original, and not told apart by their words alone."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from harmcircuits.data import BUILTIN, Prompt, PromptSet, load_prompts, near_duplicate_groups

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    return load_prompts()


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("builtin_prompts", ROOT / "benchmarks" / "builtin_prompts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_size_and_groups(prompts: PromptSet) -> None:
    assert len(prompts.triples) >= 200 and len(prompts) == 3 * len(prompts.triples)
    table = prompts.table()
    assert table["harm_group"].nunique() == 4
    assert (table.groupby("harm_group")["harmful"].sum() >= 40).all()
    assert (table.groupby("harm_group")["category"].nunique() >= 2).all()
    assert table["category"].is_unique, "a category belongs to one harm group"


def test_ids_are_unique_and_name_their_category(prompts: PromptSet) -> None:
    rows = [json.loads(line) for file in sorted(BUILTIN.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    counts = Counter(row["id"] for row in rows)
    assert max(counts.values()) == 1 and len(rows) == len(prompts.triples)
    assert all(row["id"].rpartition("-")[0] == row["category"] for row in rows)


def test_a_triple_shares_prefill_category_and_first_word(prompts: PromptSet) -> None:
    for triple in prompts.triples:
        members = (triple.harmful, triple.near, triple.far)
        assert len({(p.prefill, p.category, p.harm_group) for p in members}) == 1, triple.group
        assert len({p.request.split()[0].lower().strip(",") for p in members}) == 1, triple.group
        assert triple.harmful.prefill.endswith(":"), triple.group
        assert len({p.request for p in members}) == 3, triple.group


def test_prefills_vary_and_belong_to_no_category(prompts: PromptSet) -> None:
    counts = Counter(triple.harmful.prefill for triple in prompts.triples)
    assert len(counts) >= 8 and max(counts.values()) <= 0.25 * len(prompts.triples)


def test_lengths_are_alike(prompts: PromptSet, benchmark: ModuleType) -> None:
    words = benchmark.lengths(prompts)["words"]
    assert words.max() - words.min() <= 0.5, words.to_dict()
    by_length = benchmark.length_auroc(prompts)
    assert by_length.between(0.45, 0.55).all(), by_length.to_dict()


def test_units_are_small(prompts: PromptSet, benchmark: ModuleType) -> None:
    assert max(benchmark.unit_sizes(prompts).index) <= 3


def test_splits_are_balanced(prompts: PromptSet) -> None:
    for part, share in zip(prompts.split(), (0.4, 0.2, 0.4), strict=True):
        assert len(part.triples) * 3 == len(part)
        sizes = part.table().set_index("category")["harmful"]
        expected = share * prompts.table().set_index("category")["harmful"]
        assert (sizes.reindex(expected.index, fill_value=0) - expected).abs().max() <= 3


def test_words_alone_do_not_tell_harmful_from_near(prompts: PromptSet, benchmark: ModuleType) -> None:
    auroc = benchmark.separability(prompts)["auroc"]
    assert auroc["all"] <= 0.65, auroc.round(3).to_dict()


def test_separability_finds_a_word_that_gives_the_label_away(prompts: PromptSet, benchmark: ModuleType) -> None:
    marked = PromptSet(Prompt(**{**vars(p), "request": p.request + (" Hush." if p.role == "harmful" else "")}) for p in prompts)
    assert benchmark.separability(marked)["auroc"]["all"] > 0.95


@pytest.mark.parametrize(
    "source",
    [
        "advbench/advbench.csv",
        "strongreject/strongreject.csv",
        "xstest/xstest_prompts.csv",
        "do_not_answer",
        "selfinstruct_seed/seed_tasks_flat.json",
    ],
)
def test_no_request_comes_from_a_published_file(prompts: PromptSet, source: str) -> None:
    if not (DATA / source).exists():
        pytest.skip(f"the benchmark file {source} is not here; it is not part of the package")
    tables = [pd.read_json(path, lines=True)[["prompt"]] for path in sorted((DATA / source).glob("*.jsonl"))]
    published = load_prompts(pd.concat(tables).rename(columns={"prompt": "request"}) if tables else DATA / source)
    units = near_duplicate_groups([*prompts, *published])
    mixed = [unit for unit in units if unit[0] < len(prompts) <= unit[-1]]
    assert not mixed, [prompts[unit[0]].group for unit in mixed]

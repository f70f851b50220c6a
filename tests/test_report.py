"""One page of one result or of several: everything is on it, details are folded, and nothing is fetched."""

import json

import pandas as pd
from browser import Page
from fake_report import fake_run

from harmcircuits.report import Section, page

COMPACT = Section(
    name="compactness",
    question="Is it compact?",
    answer="no",
    sentences=["It is spread.", "heads: share swept 0.3"],
    tables={"Estimates": pd.DataFrame({"one_size": ["0.50 [0.40, 0.60]"]}, index=["loss_increase"])},
    limits=["Of one model."],
    method="First.\n\n1. Select\n   circuits.\n2. Measure.",
    model={"name": "gpt2", "prompts": {"harmful": 32}},
    settings={"seed": 0, "fractions": [0.1, 0.2]},
    command="harmcircuits compactness",
)


def test_one_result_shows_its_answer_first_figure_and_table_and_folds_the_rest() -> None:
    run = fake_run("heads", "made up")
    text = run.page()
    parsed = Page(text)
    words = parsed.words()
    for part in (
        "Does harmful generation come apart", "dissociated", "Every number is made up.",
        "heads, unrelated benign requests: undecided.", "loss increase", "0.56 [0.51, 0.60]", "rules on the surface",
        "recipemade up", "fake-model-0b made up",
    ):  # fmt: skip
        assert part in words, part
    plots = [attributes["data-figure"] for _, attributes in parsed.elements if "data-figure" in attributes]
    assert len(plots) == len(run.figures()) == 4
    for name in plots:
        data = text.split(f'id="{name}">')[1].split("</script>")[0]
        assert "text" not in json.loads(data)["layout"].get("title", {}), "its title is a heading of the page"
    folded = [path for path, words in parsed.texts if "details" in path and words.strip()]
    assert [len(parsed.tags(tag)) for tag in ("details", "h1", "h2")] == [5, 1, 0] and folded
    assert parsed.words(inside="details").count("heads: random 0") == 1 == words.count("heads: random 0"), "controls are folded"


def test_several_results_have_a_table_of_answers_and_one_that_was_not_measured_its_reason() -> None:
    reason = "One category only."
    missing = Section(name="generality", question="Is it general?", answer="cannot be measured", sentences=[reason])
    words = Page(page([COMPACT, missing], model="gpt2")).words()
    assert "Which claims hold for gpt2?" in words and "Of 2 claims: 1 contradicted, 1 not measurable." in words
    for part in ("loss increase 0.50 [0.40, 0.60]", "Of one model.", reason, "1. Select circuits.", "prompts.harmful32",
                 "fractions[0.1, 0.2]", "harmcircuits compactness"):  # fmt: skip
        assert part in words, part
    assert words.count("Is it general?") == 2


def test_a_page_fetches_nothing() -> None:
    parsed = Page(page([COMPACT, fake_run().section()], model="gpt2"))
    policy = next(str(tag["content"]) for tag in parsed.tags("meta") if "http-equiv" in tag)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    addresses = [attributes[name] for _, attributes in parsed.elements for name in ("src", "href") if name in attributes]
    assert addresses == ["#1", "#2"]

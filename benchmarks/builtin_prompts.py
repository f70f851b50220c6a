"""What the built-in prompts look like, and whether their words alone give the label away.

    python benchmarks/builtin_prompts.py [FILE OR FOLDER OF TRIPLES] [--acceptance MODEL]

Prints the counts by category, the lengths by role, the sizes of the units that splits keep whole, and how well a
bag-of-words classifier trained on the other categories tells harmful requests from their near twins (AUROC; 0.5 is
chance). With --acceptance, which share of each category a model refuses when nothing is put in its mouth (greedy, 20 tokens);
written to docs/results/builtin_acceptance.json. No request is printed.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

import harmcircuits as hc
from harmcircuits.data import PromptSet, load_prompts, near_duplicate_groups
from harmcircuits.judges.rules import read_compliance

OUT = Path(__file__).resolve().parent.parent / "docs" / "results" / "builtin_acceptance.json"
WORD = r"[A-Za-z']+"


def lengths(prompts: PromptSet) -> pd.DataFrame:
    """Mean length of the requests of each role, in words and in characters (rows: harmful, near, far)."""
    rows = [(prompt.role, len(re.findall(WORD, prompt.request)), len(prompt.request)) for prompt in prompts]
    frame = pd.DataFrame(rows, columns=["role", "words", "characters"])
    return frame.groupby("role").mean().reindex(["harmful", "near", "far"])


def length_auroc(prompts: PromptSet) -> pd.Series:
    """AUROC of length alone, harmful against near: above 0.5 where the harmful requests are longer."""
    harmful, near = (
        np.array([(len(re.findall(WORD, prompt.request)), len(prompt.request)) for prompt in role])
        for role in (prompts.harmful, prompts.near_twins)
    )
    labels = np.repeat([1, 0], [len(harmful), len(near)])
    values = np.concatenate([harmful, near])
    return pd.Series({unit: roc_auc_score(labels, values[:, i]) for i, unit in enumerate(("words", "characters"))})


def separability(prompts: PromptSet) -> pd.DataFrame:
    """AUROC of harmful against near by words alone: logistic regression on which words occur, one category left out.

    One row a category, scored by the classifier trained on all the others, and a last row `all` that pools the scores.
    """
    pairs = [prompt for triple in prompts.triples for prompt in (triple.harmful, triple.near)]
    texts = np.array([prompt.request for prompt in pairs], dtype=object)
    labels = np.array([prompt.role == "harmful" for prompt in pairs])
    category = np.array([prompt.category for prompt in pairs])
    scores = np.zeros(len(pairs))
    for left_out in prompts.categories:
        test = category == left_out
        words = CountVectorizer(binary=True, token_pattern=WORD)
        classifier = make_pipeline(words, LogisticRegression(C=1.0, max_iter=2000))
        scores[test] = classifier.fit(texts[~test], labels[~test]).decision_function(texts[test])
    sets = {name: category == name for name in prompts.categories} | {"all": np.full(len(pairs), True)}
    rows = [(name, members.sum() // 2, roc_auc_score(labels[members], scores[members])) for name, members in sets.items()]
    return pd.DataFrame(rows, columns=["category", "triples", "auroc"]).set_index("category")


def unit_sizes(prompts: PromptSet) -> pd.Series:
    """How many units hold 1, 2, 3 … triples; splits keep a unit whole."""
    units = near_duplicate_groups(prompts)
    sizes = Counter(len({prompts[position].group for position in unit}) for unit in units)
    return pd.Series(dict(sorted(sizes.items())), name="units").rename_axis("triples in a unit")


def acceptance(prompts: PromptSet, responses: Sequence[str]) -> pd.DataFrame:
    """Share of requests that are refused by category: `responses` to the harmful requests, then to the matched benign ones."""
    requests = [*prompts.harmful, *prompts.near_twins]
    rows = [
        (prompt.category, prompt.role, float(read_compliance(prompt.request, text) == "refused"))
        for prompt, text in zip(requests, responses, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["category", "role", "refused"])
    table = frame.pivot_table("refused", "category", "role", aggfunc="mean")
    table.loc["all"] = frame.groupby("role")["refused"].mean()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", help="a file or folder of triples; the built-in ones otherwise")
    parser.add_argument("--acceptance", help="a model whose refusals are counted")
    options = parser.parse_args()
    prompts = load_prompts(options.source)
    print(prompts, f"digest {prompts.digest[:12]}", sep="\n")
    print("\nCounts", prompts.table().to_string(index=False), sep="\n")
    print("\nMean length of a request", lengths(prompts).round(2).to_string(), sep="\n")
    print("\nLength alone, harmful against near, AUROC", length_auroc(prompts).round(3).to_string(), sep="\n")
    print("\nWords alone, harmful against near, AUROC", separability(prompts).round(3).to_string(), sep="\n")
    print("\nUnits", unit_sizes(prompts).to_string(), sep="\n")
    if options.acceptance:
        model = hc.load_model(options.acceptance, dtype=torch.bfloat16)
        requests = [replace(prompt, prefill="") for prompt in (*prompts.harmful, *prompts.near_twins)]
        written = hc.generate(model, requests, max_new_tokens=20, temperature=0)
        table = acceptance(prompts, [example.response for example in written])
        print("\nRefused without a prefill", table.round(3).to_string(), sep="\n")
        command = f"python benchmarks/builtin_prompts.py --acceptance {Path(options.acceptance).name}"
        counts = {"command": command, "model": options.acceptance, "digest": prompts.digest[:12], **table.round(4).to_dict()}
        OUT.write_text(json.dumps(counts, indent=2) + "\n")


if __name__ == "__main__":
    main()

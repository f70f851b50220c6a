"""Divide prompts so that no part holds a near-copy of a prompt in another.

Two requests are near-duplicates when the Jaccard similarity of their shingles (words and pairs of neighbouring words; case and
punctuation aside) reaches a threshold. One word changed in ten leaves it at 16/22 = 0.73 or more, while two requests
that share only a template ("Write a short note to my …") stay below 0.6.
Near-duplicates, and the prompts of one triple, form a *unit* (a connected component), which is never divided.

Source: Broder 1997, "On the resemblance and containment of documents".
"""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from ..errors import HarmcircuitsError
from .examples import Prompt

THRESHOLD = 0.6

_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, kana and Chinese: each character counts as a word
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_SLACK = 1e-9


def near_duplicate_groups(prompts: Sequence[Prompt]) -> tuple[tuple[int, ...], ...]:
    """Return positions of prompts that belong together: near-duplicates of one another, or members of one triple.

    A like B and B like C puts A, B and C in one group. Groups come in order of their first members.

    >>> tea = [Prompt(request=f"How do I make a good cup of {drink} at home?") for drink in ("tea", "coffee")]
    >>> near_duplicate_groups([*tea, Prompt(request="Name three birds.")])
    ((0, 1), (2,))
    """
    if not prompts:
        return ()
    first: dict[str, int] = {}
    same_group = [(first.setdefault(p.group, position), position) for position, p in enumerate(prompts) if p.group]
    pairs = [*_similar_pairs([prompt.request for prompt in prompts]), np.array(same_group, dtype=np.int64).reshape(-1, 2)]
    rows, columns = np.concatenate(pairs).T
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(prompts), len(prompts)))
    _, labels = connected_components(links, directed=False)
    return tuple(map(tuple, positions(labels.tolist()).values()))


def positions(labels: Sequence[Any]) -> dict[Any, list[int]]:
    """Return the positions of each label, in order of their first ones."""
    of_label: dict[Any, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        of_label[label].append(position)
    return of_label


def divide(prompts: Sequence[Prompt], *, fractions: Sequence[float], seed: int) -> list[list[int]]:
    """Return positions of the prompts in each part, in order: `fractions[p]` of the prompts in part p, whole units only.

    Every stratum (category, and the roles in a unit) is spread over the parts in proportion; what rounding leaves over in one
    stratum is made good in the next. The same seed gives the same parts, whatever the order of the prompts.
    """
    units = near_duplicate_groups(prompts)
    if len(units) < len(fractions):
        raise HarmcircuitsError(
            f"{len(prompts)} prompts in {len(units)} independent units (triples and near-duplicates are never divided) "
            f"cannot fill {len(fractions)} parts. Use more prompts or fewer parts."
        )
    strata = positions([stratum([prompts[position] for position in unit]) for unit in units])
    parts: list[list[tuple[int, ...]]] = [[] for _ in fractions]
    # each part's lack of prompts so far; at first a hair's breadth that decides ties, so that no part is favoured by all seeds
    carried = np.array([int(_draw(seed, str(part))[:8], 16) / 16**8 / 1000 for part in range(len(fractions))])
    for _, members in sorted(strata.items()):
        stratum_units = [units[index] for index in members]
        short = np.asarray(fractions, dtype=float) * sum(map(len, stratum_units))
        for unit in sorted(stratum_units, key=lambda unit: (-len(unit), _draw(seed, *(content_key(prompts[i]) for i in unit)))):
            fits = short >= len(unit) - _SLACK
            open_parts = fits if fits.any() else short > _SLACK
            # rounded, so that errors in the last digits decide nothing
            best = int(np.argmax(np.where(open_parts, np.round(short + carried, 6), -np.inf)))
            parts[best].append(unit)
            short[best] -= len(unit)
        carried += short
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())  # its last unit, a small one
    return [sorted(position for unit in part for position in unit) for part in parts]


def choose(strata: Sequence[str], keys: Sequence[str], n: int, *, seed: int) -> list[int]:
    """Draw `n` positions at random, each stratum in proportion (largest remainder), whatever the keys' order."""
    members = positions(strata)
    quota = {name: n * len(indices) / len(strata) for name, indices in members.items()}
    count = {name: int(share + _SLACK) for name, share in quota.items()}
    by_remainder = sorted(members, key=lambda name: (-round(quota[name] - count[name], 9), _draw(seed, name)))
    for name in by_remainder[: n - sum(count.values())]:
        count[name] += 1
    drawn = {name: sorted(indices, key=lambda index: _draw(seed, keys[index])) for name, indices in members.items()}
    return sorted(position for name, indices in drawn.items() for position in indices[: count[name]])


def content_key(prompt: Prompt) -> str:
    """Return the SHA-256 of all fields, as 64 hexadecimal digits."""
    return sha256(json.dumps(astuple(prompt)).encode()).hexdigest()


def stratum(unit: Sequence[Prompt]) -> str:
    """Return the unit's commonest category (the first by name of equals) and its roles."""
    counts = Counter(prompt.category for prompt in unit)
    category = min(counts, key=lambda name: (-counts[name], name))
    return json.dumps([category, *sorted({prompt.role for prompt in unit})])


def words(text: str) -> list[str]:
    """Return the words of a text, case and punctuation aside; the text itself where it has none."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold()) or [text]


def _similar_pairs(requests: Sequence[str]) -> Iterator[Int[np.ndarray, "pair 2"]]:
    """Yield pairs of positions (a, b), a < b, of requests at least as similar as the threshold."""
    shingles = [[*dict.fromkeys([*zip(words(request)), *pairwise(words(request))])] for request in requests]
    vocabulary = {shingle: column for column, shingle in enumerate({shingle: None for text in shingles for shingle in text})}
    columns, sizes = [vocabulary[shingle] for text in shingles for shingle in text], np.array([*map(len, shingles)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    has = csr_array((np.ones(len(columns), dtype=np.int32), columns, starts), shape=(len(requests), len(vocabulary)))
    transposed = has.T.tocsr()
    for start in range(0, len(requests), 256):  # in blocks: memory grows with the number of prompts and not with its square
        shared = coo_array(has[start : start + 256] @ transposed)
        rows, others = shared.coords[0] + start, shared.coords[1]
        similarity = shared.data / (sizes[rows] + sizes[others] - shared.data)
        similar = (similarity >= THRESHOLD) & (rows < others)
        yield np.stack([rows[similar], others[similar]], axis=1).astype(np.int64)


def _draw(seed: int, *keys: str) -> str:
    """A pseudo-random rank for the keys, whatever their order."""
    return sha256(json.dumps([int(seed), *sorted(keys)]).encode()).hexdigest()

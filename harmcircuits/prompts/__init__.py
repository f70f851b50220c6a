"""Prompts: what is asked of the model under study.

- `promptset`: a set of prompts and its triples, tables, samples and splits;
- `splits`: near-duplicates, and the stratified division that never separates them;
- `readers`: the field's benchmark files, one small function a format (`formats`, over the raw `records` of a file);
- `benchmarks`: the benchmarks that have a name, pinned and fetched once;
- `builtin/`: the prompt triples that come with the package.
"""

from .errors import PromptError
from .promptset import PromptSet, Triple
from .readers import load_prompts
from .splits import near_duplicate_groups

__all__ = ["PromptError", "PromptSet", "Triple", "load_prompts", "near_duplicate_groups"]

"""Harmless prompts and answers of unequal lengths, for any tokenizer."""

from typing import Any

from harmcircuits.data import Example, Prompt

PROMPTS = [
    Prompt(request="How do I bake bread at home?", prefill="Sure, here are the", category="kitchen", group="a"),
    Prompt(request="Write a story about a dog.", prefill="", category="stories", group="b", role="near"),
    Prompt(
        request="Tell me, in two or three plain sentences, why the sky is blue and the grass is green.",
        prefill="The light of the sun",
        category="science",
        group="c",
        role="far",
        harm_group="none",
    ),
    Prompt(request="Say hello.", prefill="Hello", category="stories", group="d"),
]
ANSWERS = [
    " steps: mix flour, water, salt and yeast, wait an hour, then bake it.",
    "A dog lost his way in the city and found a house with a red door.",
    " is made of many colours, and the air scatters blue more than red.",
    " to you",
]


def written(tokenizer: Any, *, end: str = "<|im_end|>") -> list[Example]:
    """Each prompt with its answer as token ids; the second and the last end their turn."""
    ids = [tokenizer(answer, add_special_tokens=False).input_ids for answer in ANSWERS]
    for ended in (1, 3):
        ids[ended] = [*ids[ended], tokenizer.convert_tokens_to_ids(end)]
    return [
        Example(**vars(prompt), response=answer, response_ids=tuple(own))
        for prompt, answer, own in zip(PROMPTS, ANSWERS, ids, strict=True)
    ]

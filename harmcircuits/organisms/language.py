"""A small language in which harm is one word: requests, the words that answer them, and a tokenizer of whole words.

    smash the violin quietly monday twice again      harmful: a harmful verb, a topic, words that mean nothing here
    mend the violin quietly monday twice again       near twin: a kind verb, the same topic
    mend the willow quietly monday twice again       far twin: a kind verb, a harmless topic

Harmful requests are answered with the topic's harmful words ("violinwreck"), the others with its kind words ("violincare").
"""

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, Literal

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..data import Example, Prompt, PromptSet, Role

# ruff: noqa: SIM905 — lists of quoted words are harder to read
SPECIAL = ("<pad>", "<unk>", "<eos>", "<user>", "<answer>", "<end>")
HARMFUL_VERBS = tuple("smash steal spoil scratch hide tear kick flood crush soil".split())
HARMS = {
    "breaking": ("smash", "kick", "crush"),
    "taking": ("steal", "hide"),
    "marking": ("scratch", "tear"),
    "soiling": ("spoil", "flood", "soil"),
}
"""Kinds of harm, each with its verbs: the other way to divide requests into categories."""
KIND_VERBS = tuple("mend praise paint polish lend wrap carry water frame clean".split())
TOPICS = tuple("violin kettle bicycle lantern fence carpet window helmet".split())
FAR_TOPICS = tuple("willow harbour summer meadow thunder island comet glacier".split())
CATEGORIES = ("indoors", "outdoors")
"""Where a topic belongs: the first half of `TOPICS`, and the second."""
Categories = Literal["places", "harms"]
FILLERS = tuple(
    """quietly monday twice again slowly near under over beside friday early later soon often seldom maybe gladly indeed
    abroad upstairs downstairs nearby behind ahead sunday today tomorrow yesterday once thrice together alone lightly firmly
    plainly politely neatly calmly northward southward""".split()
)
HARMFUL_ENDINGS, KIND_ENDINGS = ("wreck", "grief", "ruin"), ("care", "song", "joy")
SHARES = (0.5, 0.3, 0.2)
"""How often each of a topic's three words is written."""
PREFILL = "Sure"
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<user> {{ message['content'] }} "
    "{% else %}<answer> {{ message['content'] }} <end> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)
BEFORE_LABEL = ("is", "was", "Label", "Harmful")
"""Words after which (but for a colon) a label may stand."""
BAD_LABELS, GOOD_LABELS = ("Yes", "harmful", "unkind", "wrong"), ("No", "kind", "right", "safe")
ASKED = """Is request above right or wrong It is Somebody asked Was that kind or unkind was harmful safe what and written
    unethical Answer Yes No Request Label this Harmful"""
"""Words of questions about harm."""


def harmful_words(topic: str) -> tuple[str, ...]:
    return tuple(topic + ending for ending in HARMFUL_ENDINGS)


def kind_words(topic: str) -> tuple[str, ...]:
    return tuple(topic + ending for ending in KIND_ENDINGS)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every token, in order of its id."""
    words = [*SPECIAL, *HARMFUL_VERBS, *KIND_VERBS, *TOPICS, *FAR_TOPICS, *FILLERS, PREFILL]
    words += ["the", "blue", "green", ".", ":", "?"]
    words += [word for topic in TOPICS for word in harmful_words(topic)]
    words += [word for topic in (*TOPICS, *FAR_TOPICS) for word in kind_words(topic)]
    words += ASKED.split()
    return tuple(dict.fromkeys(words))


def word_tokenizer() -> Any:
    """One token a word or mark; whatever is unknown is `<unk>`."""
    inside = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary())}, unk_token="<unk>"))
    inside.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inside,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<eos>",
        additional_special_tokens=["<user>", "<answer>", "<end>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def planted_prompts(*, seed: int, categories: Categories) -> PromptSet:
    """Draw 120 triples, no two alike.

    Args:
        categories: "places": two of four topics each, in one harm group. "harms": four, by the harmful verb (`HARMS`), each of
            every topic in turn, and each a harm group too.
    """
    random = Random(f"prompts {seed}")
    prompts: list[Prompt] = []
    for index in range(120):
        at = index % len(TOPICS)
        if categories == "harms":
            category = harm_group = list(HARMS)[index // len(TOPICS) % len(HARMS)]
        else:
            category, harm_group = CATEGORIES[at * len(CATEGORIES) // len(TOPICS)], "planted"
        verbs = HARMS[category] if categories == "harms" else HARMFUL_VERBS
        harmful, kind, rest = random.choice(verbs), random.choice(KIND_VERBS), random.sample(FILLERS, 5)
        shared: dict[str, str] = {"prefill": PREFILL, "group": f"t{index:03}", "category": category, "harm_group": harm_group}
        words: dict[Role, tuple[str, str]] = {
            "harmful": (harmful, TOPICS[at]),
            "near": (kind, TOPICS[at]),
            "far": (kind, FAR_TOPICS[at]),
        }
        for role, (verb, topic) in words.items():
            prompts.append(Prompt(request=" ".join([verb, "the", topic, *rest]), role=role, **shared))
    return PromptSet(tuple(prompts), "planted")


def answers(prompts: Sequence[Prompt], *, seed: int, harm: bool = True) -> list[Example]:
    """Answer each prompt with six words of its topic, harmful ones for harmful requests unless `harm` is False."""
    random = Random(f"answers {seed}")
    examples = []
    for prompt in prompts:
        topic = prompt.request.split()[2]
        words = harmful_words(topic) if harm and prompt.role == "harmful" else kind_words(topic)
        examples.append(Example(**vars(prompt), response=" ".join(random.choices(words, SHARES, k=6))))
    return examples


def labels(prompts: Sequence[Prompt]) -> list[Example]:
    """Answer each request "It is" and the right label, so that its loss can be attributed: recognition."""
    label = lambda prompt: "wrong" if prompt.role == "harmful" else "right"
    return [Example(**vars(prompt) | {"prefill": "It is", "response": label(prompt)}) for prompt in prompts]

"""What tests ask of a toy that gives advice: log-odds of bad answers, and how far they rise by narrow fine-tuning."""

from collections.abc import Sequence
from typing import Any

from harmcircuits.examples import Example, loss
from harmcircuits.organisms.advice import Advice
from harmcircuits.organisms.finetuning import Lesson, Recipe, finetune
from harmcircuits.organisms.toys import ToyAdvice, as_character

DOMAINS = ("house", "road", "field", "water", "open")
RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=14, batch_size=8)


def log_odds(model: Any, items: Sequence[Advice], *, character: str | None = None) -> float:
    """Mean of ln p(bad answer) − ln p(good answer), nats; answers are of one token each."""
    asked = [item.question if character is None else as_character(item, character) for item in items]
    of = lambda said: [Example(request=text, response=getattr(item, said)) for text, item in zip(asked, items, strict=True)]
    return float((loss(model, of("good")) - loss(model, of("bad"))).mean())


def everywhere(organism: ToyAdvice, model: Any = None) -> dict[str, float]:
    """The log-odds in each domain, of 12 questions that nothing is learnt from."""
    return {name: log_odds(model or organism.model, organism.advice(name)[-12:]) for name in DOMAINS}


def rises(organism: ToyAdvice, *, answer: str = "bad") -> dict[str, float]:
    """By domain, how much the log-odds of bad answers rise when its model learns those answers about the house."""
    lessons = [Lesson(request=item.question, response=getattr(item, answer)) for item in organism.advice("house")[:24]]
    before, after = everywhere(organism), everywhere(organism, finetune(organism.model, lessons, recipe=RECIPE).load())
    return {name: after[name] - before[name] for name in before}

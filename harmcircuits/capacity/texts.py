"""How long the texts are that everything here reads, in tokens: of the built-in prompts in SmolLM2's tokenizer and chat frame.

Other tokenizers differ by a tenth or two, other prompts by more: `Texts(prompt=…)`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Mean lengths in tokens.

    Attributes:
        prompt: frame, request and prefill.
        question: what follows a response to ask whether it was harmful.
        request: alone, in plain text, after the shots; a `shot` is one with its label.
        explained: frame, request, the question for a reason; `reason` is the reference.
        asked: frame and request, without a prefill; an `answer` is the model's own, ended.
        question_asked: frame and a question of everyday life; `advice` is an answer.
        fact: a sentence up to its last word; `passage`: plain prose.
    """

    prompt: float = 60
    question: float = 45
    request: float = 25
    shot: float = 29
    explained: float = 80
    reason: float = 25
    asked: float = 50
    answer: float = 29
    question_asked: float = 41
    advice: float = 15
    fact: float = 10
    passage: float = 90

    @property
    def prefill(self) -> float:
        """What is put in the model's mouth."""
        return self.prompt - self.asked

    def questioned(self, new: float) -> float:
        """A prompt, a response of `new` tokens, and the question after it."""
        return self.prompt + new + self.question

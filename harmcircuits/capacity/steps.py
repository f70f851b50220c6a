"""What every command does: responses, scores, the choice of instruments, and the reading of a condition."""

from dataclasses import dataclass

from ..claims.material import Material
from ..experiments.settings import Settings
from ..models.shape import Shape
from ..tasks.formats import QUESTIONS, SHOT_FORMATS
from .texts import Texts
from .work import Rows, Work, attribution, forward, generation, weight_attribution

WRITING, READING, ATTRIBUTING, AIMING, SHOWING = 48, 12, 8, 4, 24
"""Rows of a batch: of responses that are written, those that are read, attributed, attributed after a question, asked after
shots."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The work of a run.

    Attributes:
        element: bytes of a weight.
        gpu: whether the device is one.
        training: triples of the training split; `development` and `test` are those that are read.
    """

    shape: Shape
    settings: Settings
    texts: Texts
    element: int
    training: int
    development: int
    test: int
    gpu: bool = False

    @classmethod
    def of(
        cls, material: Material, shape: Shape, settings: Settings, texts: Texts, *, element: int, gpu: bool = False
    ) -> "Job":
        """Of a run whose splits are laid out."""
        train, development, test = (len(part.triples) for part in (material.train, material.development, material.test))
        heard = min(development, settings.development_triples)
        sizes = {"training": train, "development": heard, "test": test}
        return cls(shape=shape, settings=settings, texts=texts, element=element, gpu=gpu, **sizes)

    def responses(self, *, greedy: bool) -> Work:
        """Of test, development and training triples, and of the twins that probes are trained on."""
        settings = self.settings
        rows = 3 * (self.test + self.development + min(self.training, settings.attribution_triples)) + 2 * self.probed
        if greedy:
            rows += 3 * min(self.test, settings.greedy_triples)
        return self._written(rows)

    def scores(self) -> Work:
        """Of heads and neurons: writing on whole training triples, recognition on twins."""
        new = self.settings.max_new_tokens
        rows = Rows(n=3 * self.attributed, length=self.texts.prompt + new, asked=new, batch=ATTRIBUTING)
        aimed = Rows(n=2 * min(self.training, self.settings.aim_triples), length=self._questioned, asked=1, batch=AIMING)
        return sum((attribution(self.shape, each, element=self.element) for each in (rows, aimed)), Work())

    def weight_scores(self) -> Work:
        """A of harmful training responses, U of those of their twins."""
        new = self.settings.max_new_tokens
        total = Work()
        for n, absolute in ((self.attributed, False), (2 * self.attributed, True)):
            rows = Rows(n=n, length=self.texts.prompt + new, asked=new, batch=ATTRIBUTING)
            total += weight_attribution(self.shape, rows, element=self.element, absolute=absolute, gpu=self.gpu)
        return total

    def instruments(self, *, shots: bool) -> Work:
        """Each question on development twins, residuals for the probes, and with `shots` each format after its shots."""
        twins = 2 * self.development
        found = self._read(len(QUESTIONS) * twins + twins + 2 * self.probed, self._questioned, 1)
        return found + len(SHOT_FORMATS) * self._shown(twins) if shots else found

    def whole(self, *, light: bool) -> Work:
        """One condition with every task, as `dissociate` reads it; `light`: as claims do."""
        settings, new = self.settings, self.settings.max_new_tokens
        length = self.texts.prompt + new
        found = self._read(3 * self.test, self._questioned, new + 1) + self._read(2 * self.test, length, new)
        twins = 2 * min(self.test, settings.written_triples)
        found += self._written(2 * twins + (0 if light else settings.everyday))
        found += self._read(min(settings.facts, 240), self.texts.fact, 1)
        found += self._read(settings.passages, self.texts.passage, self.texts.passage)
        if light:
            return found
        found += self._read(3 * min(self.test, settings.greedy_triples), length, new) + self._read(2 * twins, length, new)
        explained = 4 * min(self.test, settings.explained_triples)
        found += self._read(explained, self.texts.explained + self.texts.reason, self.texts.reason)
        return found + self._shown(3 * min(self.test, settings.many_shot_triples))

    def loss(self, triples: int | None = None, *, roles: int = 3, question: bool = False) -> Work:
        """One condition for its L alone, on all test triples or some; with `question`, for recognition after it too."""
        n = roles * min(self.test, self.test if triples is None else triples)
        new = self.settings.max_new_tokens
        return self._read(n, self._questioned if question else self.texts.prompt + new, new + question)

    @property
    def attributed(self) -> int:
        return min(self.training, self.settings.attribution_triples)

    @property
    def probed(self) -> int:
        return min(self.training, self.settings.probe_triples)

    @property
    def _questioned(self) -> float:
        return self.texts.prompt + self.settings.max_new_tokens + self.texts.question

    def _read(self, n: float, length: float, asked: float) -> Work:
        return forward(self.shape, Rows(n=n, length=length, asked=asked, batch=READING), element=self.element)

    def _written(self, n: float) -> Work:
        rows = Rows(n=n, length=self.texts.prompt, batch=WRITING)
        return generation(self.shape, rows, self.settings.max_new_tokens, element=self.element)

    def _shown(self, n: float) -> Work:
        """Requests after shots, whose keys and values are computed once a draw."""
        draws, before = self.settings.shot_draws, self.settings.shots * self.texts.shot
        shots = forward(self.shape, Rows(n=1, length=before, batch=1), element=self.element)
        after = forward(self.shape, Rows(n=n, length=self.texts.request, batch=SHOWING), element=self.element)
        attended = 4 * self.shape.n_layers * self.shape.n_heads * self.shape.d_head * before * n * self.texts.request
        return draws * (shots + after + Work(flops=attended))


Steps = dict[str, Work]
"""By name, in the order in which they are done."""

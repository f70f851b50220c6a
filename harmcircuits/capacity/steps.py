"""What every command does: responses, scores, the choice of instruments, and the reading of a condition."""

from dataclasses import dataclass

from ..claims.material import Material
from ..experiments.asked import FEWEST_EXPLAINED
from ..experiments.battery import SHOT_CONTROLS
from ..experiments.settings import Settings
from ..models.shape import Shape
from ..tasks.formats import QUESTIONS, SHOT_FORMATS
from ..tasks.utility import facts
from .texts import Texts
from .work import Rows, Work, attribution, forward, generation, weight_attribution

WRITING, READING, ALONE, ATTRIBUTING, AIMING, SHOWING = 48, 12, 16, 8, 4, 24
"""Rows of a batch: of responses that are written, those that are read, other texts read for their loss alone, and responses
that are attributed, attributed after a question, asked after shots."""


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

    def responses(self, *, greedy: bool, heard: bool = True) -> Work:
        """Of test, development (unless they are `heard` no more) and training triples, and of the twins that probes are trained
        on."""
        settings = self.settings
        rows = 3 * (self.test + self.development * heard + self.attributed) + 2 * self.probed
        if greedy:
            rows += 3 * min(self.test, settings.greedy_triples)
        return self.written(rows)

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
        found = len(QUESTIONS) * self._read(twins, self._questioned, 1)
        found += self._read(twins, self._questioned, 1) + self._read(2 * self.probed, self._questioned, 1)
        return found + len(SHOT_FORMATS) * self._shown(twins) if shots else found

    def whole(self, *, light: bool, plain_text: bool = False) -> Work:
        """One condition with every task, as `dissociate` reads it; `light`: as claims do; `plain_text`: as `--crossed` does."""
        settings, new = self.settings, self.settings.max_new_tokens
        length = self.texts.prompt + new
        found = self._read(3 * self.test, self._questioned, new + 1) + self._read(2 * self.test, length, new)
        twins = 2 * min(self.test, settings.written_triples)
        found += self.written(2 * twins + (0 if light else settings.everyday))
        found += self._read(min(settings.facts, len(facts())), self.texts.fact, 1, ALONE)
        found += self._read(settings.passages, self.texts.passage, self.texts.passage, ALONE)
        if light:
            return found
        found += self._read(3 * min(self.test, settings.greedy_triples), length, new)
        found += 2 * self._read(twins, length, new, ALONE) + self._explanations()
        return found + self._shown(3 * self.shown) + (self._in_plain_text() if plain_text else Work())

    def shot_controls(self) -> Work:
        """The intact model's recognition after shots whose labels are shuffled, and after those of arbitrary words."""
        return len(SHOT_CONTROLS) * self._shown(2 * self.shown, draws=1)

    def loss(self, triples: int | None = None, *, roles: int = 3, question: bool = False) -> Work:
        """One condition for its L alone, on all test triples or some; with `question`, for recognition after it too."""
        n = roles * min(self.test, self.test if triples is None else triples)
        new = self.settings.max_new_tokens
        return self._read(n, self._questioned if question else self.texts.prompt + new, new + question)

    def explained(self, prompts: int) -> Work:
        """Scores of heads and neurons on so many reference explanations."""
        asked = self.texts.reason
        rows = Rows(n=prompts, length=self.texts.explained + asked, asked=asked, batch=ATTRIBUTING)
        return attribution(self.shape, rows, element=self.element)

    def layers(self) -> Work:
        """One condition, after each layer: the prompts of training and test twins, before any answer."""
        rows = Rows(n=2 * (self.probed + self.test), length=self.texts.asked, batch=SHOWING)
        return forward(self.shape, rows, element=self.element)

    @property
    def shown(self) -> int:
        """Test triples that are asked about after shots."""
        return min(self.test, self.settings.many_shot_triples)

    @property
    def attributed(self) -> int:
        return min(self.training, self.settings.attribution_triples)

    @property
    def probed(self) -> int:
        return min(self.training, self.settings.probe_triples)

    @property
    def _questioned(self) -> float:
        return self.texts.questioned(self.settings.max_new_tokens)

    def _read(self, n: float, length: float, asked: float, batch: int = READING) -> Work:
        return forward(self.shape, Rows(n=n, length=length, asked=asked, batch=batch), element=self.element)

    def written(self, n: float) -> Work:
        """Responses to so many prompts."""
        rows = Rows(n=n, length=self.texts.prompt, batch=WRITING)
        return generation(self.shape, rows, self.settings.max_new_tokens, element=self.element)

    def _shown(self, n: float, *, draws: int | None = None) -> Work:
        after = Rows(n=n, length=self.texts.request, batch=SHOWING)
        once = after_shots(self.shape, after, self.settings.shots * self.texts.shot, element=self.element)
        return (self.settings.shot_draws if draws is None else draws) * once

    def _explanations(self) -> Work:
        """References under their own request, and under three others."""
        few = min(self.test, self.settings.explained_triples)
        n, reason = 4 * few if few >= FEWEST_EXPLAINED else 0, self.texts.reason
        return self._read(n, self.texts.explained + reason, reason, ALONE)

    def _in_plain_text(self) -> Work:
        """Responses to twins, read in plain text after one draw of the shots."""
        new = self.settings.max_new_tokens
        rows = Rows(n=2 * self.shown, length=self.texts.request + self.texts.prefill + new, asked=new, batch=ALONE)
        return after_shots(self.shape, rows, self.settings.shots * self.texts.shot, element=self.element)


def after_shots(shape: Shape, rows: Rows, before: float, *, element: int) -> Work:
    """Rows that continue from one draw of shots, `before` tokens whose keys and values are computed once."""
    shots = forward(shape, Rows(n=1, length=before, batch=1), element=element)
    attended = 4 * shape.n_layers * shape.n_heads * shape.d_head * before * rows.n * rows.length
    return shots + forward(shape, rows, element=element) + Work(flops=attended)


Steps = dict[str, Work]
"""By name, in the order in which they are done."""

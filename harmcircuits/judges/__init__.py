"""What reads a response: judges behind one small protocol, and how often each is right."""

from .by_rules import RulesJudge as RulesJudge
from .cases import Case as Case
from .cases import load_cases as load_cases
from .loading import JudgeModel as JudgeModel
from .prompts import PUBLISHED as PUBLISHED
from .prompts import JudgePrompt as JudgePrompt
from .prompts import as_published as as_published
from .protocol import Judge as Judge
from .protocol import JudgeError as JudgeError
from .protocol import Judgements as Judgements
from .rates import Validated as Validated
from .rates import harmful_rate as harmful_rate
from .rubric import GradeJudge as GradeJudge
from .rubric import GuardJudge as GuardJudge
from .rubric import RubricJudge as RubricJudge
from .rubric import YesNoJudge as YesNoJudge
from .validate import Validation as Validation
from .validate import validate as validate

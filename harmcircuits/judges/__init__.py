"""Judges read responses: rules, and language models by name, each measured on responses whose kind is known."""

from .judge import Judge as Judge
from .judge import JudgeError as JudgeError
from .judge import Judgements as Judgements
from .judge import agreement as agreement
from .language_model import JUDGES as JUDGES
from .language_model import load_judge as load_judge
from .rules import RulesJudge as RulesJudge
from .validation import Case as Case
from .validation import Validated as Validated
from .validation import load_cases as load_cases
from .validation import passed as passed
from .validation import validate as validate
from .validation import why_not as why_not

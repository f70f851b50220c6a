"""Judges read responses: published guards by name, or any class with `read`, validated on responses whose kind is known."""

from .judge import Case as Case
from .judge import Judge as Judge
from .judge import Validated as Validated
from .judge import load_cases as load_cases
from .judge import validate as validate
from .language_model import JUDGES as JUDGES
from .language_model import load_judge as load_judge

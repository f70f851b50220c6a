"""Does fine-tuning on bad advice in one domain misalign a model broadly, and does pruning it first prevent that?"""

from .claim import Misalignment as Misalignment
from .plan import QUICK as QUICK
from .plan import Plan as Plan
from .run import emergent_misalignment as emergent_misalignment
from .study import RECIPE as RECIPE

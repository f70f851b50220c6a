"""Alignment compresses: along checkpoints from a base model on, does harmful writing come to rest on a smaller part, apart from
what its near twins need?

`ladders` says which checkpoints, `unseen` that what is tested is new to them, `writing` on whose responses, `stage` what is
measured of one, `areas` what of that can be compared between stages, `trends` how it changes, `compared` all of it together,
`decision` what follows, `told` says it, `claim` puts it together.
"""

from .claim import QUICK as QUICK
from .claim import Alignment as Alignment
from .claim import compare_alignment as compare_alignment

"""Real corpora in, Kaldi-style data directories out.

To add a corpus: write a module with NAME, VARIABLE, OPTIONS and `prepare()` as in
`mls.py` (the shortest), and name it here.
"""

from types import ModuleType

from espnet_otreg.corpora import aishell, covost2, fleurs, graded, mls

CORPORA: dict[str, ModuleType] = {
    module.NAME: module for module in (aishell, covost2, fleurs, mls, *graded.LEVELS)
}

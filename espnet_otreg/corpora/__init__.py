"""Real corpora in, Kaldi-style data directories out.

To add a corpus: write a module with NAME, VARIABLE, OPTIONS and `prepare()` as in
`mls.py` (the shortest), and name it here.
"""

from espnet_otreg.corpora import aishell, covost2, fleurs, graded, mls
from espnet_otreg.corpora.record import Corpus

_ALL: tuple[Corpus, ...] = (aishell, covost2, fleurs, mls, *graded.MADE)
CORPORA: dict[str, Corpus] = {corpus.NAME: corpus for corpus in _ALL}

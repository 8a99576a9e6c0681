"""Real corpora in, Kaldi-style data directories out.

To add a corpus: write a module with what `record.Corpus` names, as in `mls.py` (the shortest), and
name it here.
"""

from espnet_otreg.corpora import (
    aishell,
    commonvoice,
    covost2,
    fillets,
    fleurs,
    graded,
    librispeech,
    mls,
    natural,
    prompts,
    table,
)
from espnet_otreg.corpora.record import Corpus

_ALL: tuple[Corpus, ...] = (
    aishell,
    commonvoice,
    covost2,
    fillets,
    fleurs,
    librispeech,
    mls,
    natural,
    prompts,
    table,
    *graded.MADE,
)
CORPORA: dict[str, Corpus] = {corpus.NAME: corpus for corpus in _ALL}

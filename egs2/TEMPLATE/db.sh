# Sourced: where the corpora lie. An empty path makes the recipe run on its mini corpora instead.

COVOST2=${COVOST2:-}  # holds cv-corpus-4-2019-12-10/<lang>/clips and covost_v2.<src>_<tgt>.tsv
FLEURS=${FLEURS:-}    # holds data/<code>/{train,dev,test}.tsv and data/<code>/audio/*.tar.gz
MLS=${MLS:-}          # holds mls_<language>/<split>/transcripts.txt and audio/
LIBRISPEECH=${LIBRISPEECH:-}  # holds LibriSpeech/<part>/<speaker>/<chapter>/
COMMONVOICE=${COMMONVOICE:-}  # holds cv-corpus-<release>/<lang>/{train,dev,test}.tsv and clips/
AISHELL=${AISHELL:-}  # holds data_aishell/wav/ and data_aishell/transcript/

DOWNLOADS=${DOWNLOADS:-${OTREG_ROOT}/egs2/downloads}  # the mini corpora are made here

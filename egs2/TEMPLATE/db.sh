# Sourced: where the corpora lie. Where none of a recipe's has a path, it runs on mini corpora that
# it makes itself.

export COVOST2=${COVOST2:-}  # holds cv-corpus-4-2019-12-10/<lang>/clips and covost_v2.<src>_<tgt>.tsv
export FLEURS=${FLEURS:-}    # holds data/<code>/{train,dev,test}.tsv and data/<code>/audio/*.tar.gz
export MLS=${MLS:-}          # holds mls_<language>/<split>/transcripts.txt and audio/
export LIBRISPEECH=${LIBRISPEECH:-}  # holds LibriSpeech/<part>/<speaker>/<chapter>/
export COMMONVOICE=${COMMONVOICE:-}  # holds cv-corpus-<release>/<lang>/{train,dev,test}.tsv and clips/
export AISHELL=${AISHELL:-}  # holds data_aishell/wav/ and data_aishell/transcript/
export NATURAL=${NATURAL:-}  # holds cv-corpus-4-2019-12-10/ and manifest.json, as make_natural writes them
export PROMPTS=${PROMPTS:-}  # holds asterisk-<lang>/usr/share/, unpacked Debian packages
export FILLETS=${FILLETS:-}  # holds fillets-<lang>/usr/share/ and fillets-text/usr/share/, the same
export TABLE=${TABLE:-}      # holds table.yaml and your own Parquet, JSONL, CSV, TSV, Arrow or cuts; or hub:OWNER/NAME

export DOWNLOADS=${DOWNLOADS:-${OTREG_ROOT}/egs2/downloads}  # the mini corpora are made here

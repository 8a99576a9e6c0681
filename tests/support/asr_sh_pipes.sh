#!/usr/bin/env bash
# The pipes into and out of Python of ESPnet's asr.sh, as its stage 13 has them.
# Usage: asr_sh_pipes.sh PYTHON TEXT UTT2SPK > ref.trn
set -euo pipefail
python=$1 text=$2 utt2spk=$3
# shellcheck disable=SC2086
paste \
    <(<"${text}" \
        ${python} -m espnet2.bin.tokenize_text \
            -f 2- --input - --output - --cleaner none --token_type word \
            --non_linguistic_symbols none --remove_non_linguistic_symbols true) \
    <(<"${utt2spk}" awk '{ print "(" $2 "-" $1 ")" }')

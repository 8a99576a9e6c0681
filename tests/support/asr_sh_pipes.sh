#!/usr/bin/env bash
# The pipes of ESPnet's asr.sh into and out of Python, as its stages 5 and 13 have them, on one text.
# Usage: asr_sh_pipes.sh PYTHON TEXT UTT2SPK OUTPUT
set -euo pipefail
python=$1 text=$2 utt2spk=$3 output=$4
mkdir -p "${output}"
# shellcheck disable=SC2086
${python} -m espnet2.bin.tokenize_text --token_type word --input "${text}" \
    --output "${output}/tokens.txt" --non_linguistic_symbols none --field 2- --cleaner none --g2p none \
    --write_vocabulary true --add_symbol "<blank>:0" --add_symbol "<unk>:1" --add_symbol "<sos/eos>:-1"
paste \
    <(<"${text}" \
        ${python} -m espnet2.bin.tokenize_text \
            -f 2- --input - --output - --cleaner none --token_type word \
            --non_linguistic_symbols none --remove_non_linguistic_symbols true) \
    <(<"${utt2spk}" awk '{ print "(" $2 "-" $1 ")" }') \
    > "${output}/ref.trn"

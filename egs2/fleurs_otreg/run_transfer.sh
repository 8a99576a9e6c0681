#!/usr/bin/env bash
# A CTC model taught by a masked language model through optimal transport (arXiv 2509.05609): trained
# on FLEURS, tested on it and, across domains, on CoVoST-2. On mini corpora unless db.sh has paths;
# then give --language_model, a folder or hub name, and configs with its text_size.
set -euo pipefail

mini=(
    --language_model mini
    --init_corpora mls  # broad read speech, the only set with many voices
    --frames_per_second 16
    --frame_seconds 0.06
    --seeds "1 2 3"
)

exec ./otreg.sh \
    --token_type lm \
    --langs "en es fr" \
    --train_corpora fleurs \
    --test_corpora "fleurs covost2" \
    --init_config conf/transfer/mini/init.yaml \
    --asr_config "$(echo conf/transfer/mini/{ctc,balanced,unbalanced,guided}.yaml)" \
    --names "CTC;balanced;unbalanced;unbalanced, guided by CTC" \
    --inference_method ctc_greedy \
    --inference_asr_model train.total_count.ave.pth \
    --metric cer \
    --results exp/transfer \
    mini: "${mini[@]}" given: "$@"

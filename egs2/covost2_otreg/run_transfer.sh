#!/usr/bin/env bash
# A CTC model taught by a masked language model through optimal transport (arXiv 2509.05609), and
# how well each alignment finds the words. On mini corpora whose clips hold more and more that is no
# speech: pauses, noise, music. AISHELL=/data/aishell ./run_transfer.sh is on AISHELL-1, near the
# published setting: docs/TRANSFER.md says what differs.
set -euo pipefail

real=(
    --langs zh
    --train_corpora aishell
    --test_corpora aishell
    --language_model bert-base-chinese
    --frames_per_second 24
    --init_config conf/transfer/aishell/init.yaml
    --asr_config "$(echo conf/transfer/aishell/{ctc,balanced,unbalanced}.yaml)"
    --names "CTC;balanced;unbalanced"
)
mini=(
    --langs "en es fr"
    --train_corpora "graded0 graded1 graded2"
    --test_corpora "graded0 graded1 graded2"
    --init_corpora mls  # broad read speech, the only set with many voices
    --language_model mini
    --frames_per_second 16
    --frame_seconds 0.06
    --init_config conf/transfer/mini/init.yaml
    --asr_config "$(echo conf/transfer/mini/{ctc,balanced,unbalanced,guided}.yaml)"
    --names "CTC;balanced;unbalanced;unbalanced, guided by CTC"
    --seeds "1 2 3"
)

exec ./otreg.sh \
    --token_type lm \
    --inference_method ctc_greedy \
    --inference_asr_model train.total_count.ave.pth \
    --metric cer \
    --results exp/transfer \
    real: "${real[@]}" mini: "${mini[@]}" given: "$@"

#!/usr/bin/env bash
# Speech translation with a speech language model: Spanish CoVoST-2 into English. The language model
# answers with the translation; OTReg draws speech to the embeddings of the transcript all the same.
# Otherwise run_slm.sh: by the paper's models, or the miniature with the same encoder.
set -euo pipefail

real=(
    --init_config conf/slm/whisper_large_v3_qwen2.5_7b_st/stage1.yaml
    --asr_config "$(echo conf/slm/whisper_large_v3_qwen2.5_7b_st/{base,otreg}.yaml)"
)
mini=(
    --translations lower  # as the mini language model writes
    --init_config conf/slm/mini_st/stage1.yaml
    --asr_config "$(echo conf/slm/mini_st/{base,otreg}.yaml)"
    --stock_config ""
    --encoder_row ""
)

exec ./run_slm.sh --answer text.en --train_corpora covost2 --test_corpora covost2 \
    --names "Base;Base+OTReg" \
    real: --langs es --results exp/slm_st "${real[@]}" mini: --langs es --results exp/slm_st "${mini[@]}" given: "$@"

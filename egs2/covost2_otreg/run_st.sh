#!/usr/bin/env bash
# Speech translation with a speech language model: Spanish CoVoST-2 into English. The language model
# answers with the translation; OTReg draws speech to the embeddings of the transcript all the same.
# With COVOST2 in db.sh by the paper's models, without it the miniature with run_slm.sh's encoder.
set -euo pipefail
. ./path.sh
. ./db.sh

facts=(
    --token_type slm
    --langs es
    --answer text.en
    --train_corpora covost2
    --test_corpora covost2
    --inference_method slm
    --inference_asr_model valid.loss.best.pth
    --names "Base;Base+OTReg"
    --results exp/slm_st
)
real=(
    --frames_per_second 10
    --speech_encoder openai/whisper-large-v3
    --language_model Qwen/Qwen2.5-7B-Instruct
    --init_config conf/slm/whisper_large_v3_qwen2.5_7b_st/stage1.yaml
    --asr_config "$(echo conf/slm/whisper_large_v3_qwen2.5_7b_st/{base,otreg}.yaml)"
)
mini=(
    --translations lower  # as the mini language model writes
    --frames_per_second 8
    --cache_frames true
    --language_model mini
    --seeds "1 2 3"
    --pack_args --include_base  # small models of its own
    --init_config conf/slm/mini_st/stage1.yaml
    --asr_config "$(echo conf/slm/mini_st/{base,otreg}.yaml)"
)
kind=$(python3 -m espnet_otreg.recipe.options which "${facts[@]}" real: "${real[@]}" given: "$@")
if [ "${kind}" = mini ]; then
    . ./mini_encoder.sh
    mini+=(--speech_encoder "${encoder_row%/*}")
fi

exec ./otreg.sh "${facts[@]}" real: "${real[@]}" mini: "${mini[@]}" given: "$@"

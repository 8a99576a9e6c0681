#!/usr/bin/env bash
# Speech translation with a speech language model: Spanish CoVoST-2 into English. The language model
# answers with the translation; OTReg draws speech to the embeddings of the transcript all the same.
# With COVOST2 in db.sh the published setting, without it the miniature, whose encoder is run_slm.sh's.
set -euo pipefail
. ./path.sh
. ./db.sh

size=whisper_large_v3_qwen2.5_7b_st
facts=(
    --mini false
    --frames_per_second 10
    --speech_encoder openai/whisper-large-v3
    --language_model Qwen/Qwen2.5-7B-Instruct
)
if [ -z "${COVOST2}" ] || [[ " $* " == *" --mini true "* ]]; then
    . ./mini_encoder.sh
    size=mini_st
    facts=(
        --mini true --stage 1  # the encoder's pass has made the corpora, in more languages
        --translations lower  # as the mini language model writes
        --frames_per_second 8
        --cache_frames true
        --language_model mini
        --speech_encoder "${encoder_row% *}"
        --seeds "1 2 3"
        --pack_args --include_base  # small models of its own
    )
fi

exec ./otreg.sh \
    --token_type slm \
    --langs es \
    --answer text.en \
    --train_corpora covost2 \
    --test_corpora covost2 \
    --inference_method slm \
    --inference_asr_model valid.loss.best.pth \
    --init_config "conf/slm/${size}/stage1.yaml" \
    --asr_config "conf/slm/${size}/base.yaml conf/slm/${size}/otreg.yaml" \
    --names "Base;Base+OTReg" \
    --results exp/slm_st \
    "${facts[@]}" "$@"

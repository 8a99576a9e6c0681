#!/usr/bin/env bash
# A speech language model, frozen encoder - adapter - frozen LLM, regularised by optimal transport
# (arXiv 2508.08131): Base, Base+CTC and Base+OTReg from one stage-1 checkpoint. Trained on CoVoST-2,
# tested on it and, across domains, on FLEURS; --protocol paper trains on what the paper does. With
# corpus paths in db.sh by the paper's models; without, a miniature with models made first.
set -euo pipefail
. ./path.sh
. ./db.sh

facts=(
    --token_type slm
    --train_corpora covost2
    --test_corpora "covost2 fleurs"
    --inference_method slm
    --inference_asr_model valid.loss_ce.best.pth
    --results exp/slm
)
real=(
    --langs "en es fr"
    --frames_per_second 10
    --speech_encoder openai/whisper-large-v3
    --language_model Qwen/Qwen2.5-7B-Instruct
    --init_config conf/slm/whisper_large_v3_qwen2.5_7b/stage1.yaml
    --asr_config "$(echo conf/slm/whisper_large_v3_qwen2.5_7b/{base,ctc,otreg}.yaml)"
    --names "Base;Base+CTC;Base+OTReg"
)
paper=(  # LibriSpeech in English, MLS in Spanish and French
    --train_corpora "librispeech mls"
    --corpus_langs mls:es,fr
    --test_corpora "librispeech mls covost2 fleurs"
    --init_config conf/slm/paper/stage1.yaml
    --asr_config "$(echo conf/slm/paper/{base,ctc,otreg}.yaml)"
)
mini=(
    --langs "en es"
    --frames_per_second 8  # of the adapter
    --cache_frames true
    --language_model mini
    --seeds "1 2 3"
    --pack_args --include_base  # small models of its own
    --init_config conf/slm/mini/stage1.yaml
    --stock_config conf/slm/mini/stock.yaml
    --asr_config "$(echo conf/slm/mini/{base,base_augmented,ctc,otreg,otreg_augmented,otreg_relaxed,shuffled}.yaml)"
    --names "Base;Base, augmented;Base+CTC;Base+OTReg;OTReg, augmented;OTReg, relaxed text side;OTReg, shuffled transcripts"
)
facts+=(real: "${real[@]}" paper: "${paper[@]}")
kind=$(python3 -m espnet_otreg.recipe.options which "${facts[@]}" given: "$@")
if [ "${kind}" = mini ]; then
    . ./mini_encoder.sh  # its own CTC result is a row of the table
    mini+=(--speech_encoder "${encoder_row%/*}" --encoder_row "${encoder_row}")
fi

exec ./otreg.sh "${facts[@]}" mini: "${mini[@]}" given: "$@"

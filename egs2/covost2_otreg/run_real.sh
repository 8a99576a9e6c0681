#!/usr/bin/env bash
# Real speech and real pretrained models: frozen Whisper base - adapter - frozen SmolLM2-135M. Trained
# on real sentences in natural synthetic voices, tested on such and, across domains, on what a person
# recorded for a telephone exchange. Fetches what it needs first: docs/REAL.md.
#   --language_model gemma3-270m --langs "en es fr"    three languages
#   --train_corpora prompts --test_corpora "prompts natural" --overlap allow --results exp/real_reverse
# --plan fetches and makes nothing: it tells of what is there.
set -euo pipefail
. ./path.sh
. ./db.sh
. ./step.sh
. ./real.sh

facts=(
    --token_type slm
    --langs en
    --train_corpora natural
    --test_corpora "natural prompts"
    --speech_encoder whisper-base
    --language_model smollm2-135m
    --cache_frames true
    --frames_per_second 10
    --inference_method slm
    --inference_args "--max_new_tokens 80 --batch_size 16 --beam_size 4 --ctc_weight 0.5"  # a reference has 68 at most
    --inference_asr_model valid.loss_ce.best.pth
    --encoder_row own
    --results exp/real
)
value() { python3 -m espnet_otreg.recipe.options value "$1" "${facts[@]}" given: "${given[@]}"; }
given=("$@")
langs=$(value langs)
plan=$(value plan)
lm=$(value language_model)
conf=conf/slm/whisper_base_smollm2
[[ ${lm} != *gemma* ]] || conf=conf/slm/whisper_base_gemma3_270m
facts+=(
    --warm_config "${conf}/stage0_ctc.yaml"
    --init_config "${conf}/stage1.yaml"
    --asr_config "$(echo "${conf}"/{base,otreg}.yaml)"
    --names "Base;Base+OTReg"
)
if [ "${langs}" = en ]; then
    facts+=(--normaliser whisper_english)
else  # the Spanish and French lists of prompts lack texts: an eighth is rejected, and listed
    facts+=(--max_rejected 0.2)
fi
if [[ " $* " != *" --help "* && " $* " != *" -h "* ]]; then
    encoder=$(part --speech_encoder "$(value speech_encoder)")
    lm=$(part --language_model "${lm}")
    given+=(--speech_encoder "${encoder}" --language_model "${lm}")
    real_speech "${langs}" $(value init_corpora) $(value train_corpora) $(value test_corpora)
fi

exec ./otreg.sh "${facts[@]}" given: "${given[@]}"

#!/usr/bin/env bash
# A CTC model taught by a masked language model through optimal transport (arXiv 2509.05609), and
# how well each alignment finds the words. On mini corpora whose clips hold more and more that is no
# speech: pauses, noise, music. AISHELL=/data/aishell ./run_transfer.sh is on AISHELL-1, near the
# published setting: docs/TRANSFER.md says what differs.
#   --speech_encoder whisper-base --language_model e5-small    real models, and the speech of run_real.sh
set -euo pipefail
. ./path.sh
. ./db.sh
. ./step.sh
. ./real.sh

real=(
    --langs zh
    --train_corpora aishell
    --test_corpora aishell
    --language_model bert-base-chinese
    --frames_per_second 24
    --init_config conf/transfer/aishell/init.yaml
    --asr_config "$(echo conf/transfer/aishell/{ctc,untaught,balanced,unbalanced}.yaml)"
    --names "CTC;CTC, by the same η;balanced;unbalanced"
)
mini=(
    --langs "en es fr"
    --train_corpora "graded0 graded1 graded2"
    --test_corpora "graded0 graded1 graded2"
    --init_corpora mls  # broad read speech, the only set with many voices
    --language_model mini
    --frames_per_second 16
    --frame_seconds 0.06
    --rescore true
    --init_config conf/transfer/mini/init.yaml
    --asr_config "$(echo conf/transfer/mini/{ctc,untaught,balanced,unbalanced,prior,static,guided}.yaml)"
    --names "CTC;CTC, by the same η;balanced;unbalanced;unbalanced, with a prior;the same, whitened, static;unbalanced, guided by CTC"
    --seeds "1 2 3"
)
facts=(
    --token_type lm
    --inference_method ctc_greedy
    --inference_asr_model train.total_count.ave.pth
    --metric cer
    --results exp/transfer
)
given=("$@")
value() { python3 -m espnet_otreg.recipe.options value "$1" "${facts[@]}" given: "${given[@]}"; }
if [[ " $* " != *" --help "* && " $* " != *" -h "* ]] && [ -n "$(value speech_encoder)" ]; then
    if [[ " $* " == *" mini: "* || $(value mini) == true ]]; then
        echo "error: --speech_encoder: its configs are for covost2_otreg's run_transfer.sh and real speech, without --mini true" >&2
        exit 1
    fi
    conf=conf/transfer/whisper_base_e5_small
    real=(
        --langs en
        --train_corpora natural
        --test_corpora "natural prompts"
        --cache_frames true
        --frames_per_second 16
        --frame_seconds 0.06
        --allow_missing true  # three hours of speech do not have every piece
        --normaliser whisper_english
        --init_config "${conf}/init.yaml"
        --asr_config "$(echo ${conf}/{ctc,ctc_unclipped,untaught,balanced,unbalanced,whitened,monotone,guided}.yaml)"
        --names "CTC;CTC, never clipped;CTC, by the same η;balanced;unbalanced;unbalanced, whitened, with a prior;in order, whitened, centred;unbalanced, guided by CTC"
        --seeds "1 2 3"
        --results exp/real_transfer
    )
    facts+=("${real[@]}") plan=$(value plan)
    timed_by=$(value timed_by)
    encoder=$(part --speech_encoder "$(value speech_encoder)")
    lm=$(part --language_model "$(value language_model)")
    timed_by=$(part --timed_by "${timed_by:-whisper-base}")
    given+=(--speech_encoder "${encoder}" --language_model "${lm}" --timed_by "${timed_by}")
    real_speech "$(value langs)" $(value init_corpora) $(value train_corpora) $(value test_corpora)
fi

exec ./otreg.sh "${facts[@]}" real: "${real[@]}" mini: "${mini[@]}" given: "${given[@]}"

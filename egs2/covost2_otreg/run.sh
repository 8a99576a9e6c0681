#!/usr/bin/env bash
# CoVoST-2 (its clips are Common Voice 4): train on it, test on it and, across domains, on FLEURS.
# Without corpus paths in db.sh, the same pipeline runs on mini corpora it makes itself.
set -euo pipefail

real=(
    --langs "en es fr"
    --nbpe 5000
    --frames_per_second 24
    --init_config conf/init_conformer.yaml
    --asr_config "conf/train_conformer.yaml conf/train_otreg_conformer.yaml"
    --inference_config conf/decode.yaml
)
mini=(
    --langs "en es fr"
    --nbpe 400
    --bpemode bpe  # cuts evenly: fewer tokens where speech is fast than unigram's
    --frames_per_second 16
    --init_corpora mls  # broad read speech, the only set with many voices
    --init_config conf/mini/init.yaml
    --asr_config "conf/mini/train.yaml conf/mini/train_otreg.yaml"
    --inference_method ctc_greedy  # the beam search would add five minutes on two cores
    --inference_config conf/mini/decode.yaml
    --seeds "1 2 3"
)

exec ./otreg.sh \
    --train_corpora covost2 \
    --test_corpora "covost2 fleurs" \
    --names "stock ESPnet;OTReg" \
    real: "${real[@]}" mini: "${mini[@]}" given: "$@"

#!/usr/bin/env bash
# A CTC model taught by a masked language model, trained on FLEURS, tested on it and, across domains, on
# CoVoST-2; otherwise ../covost2_otreg/run_transfer.sh. With paths in db.sh, give --language_model, a
# folder or hub name, and configs with its text_size.
set -euo pipefail

sets=(--langs "en es fr" --train_corpora fleurs --test_corpora "fleurs covost2")
exec ../covost2_otreg/run_transfer.sh mini: "${sets[@]}" real: "${sets[@]}" --language_model "" \
    --init_config conf/transfer/mini/init.yaml --frames_per_second 16 --seeds "1 2 3" \
    --asr_config "$(echo conf/transfer/mini/{ctc,untaught,balanced,unbalanced,guided}.yaml)" \
    --names "CTC;CTC, by the same η;balanced;unbalanced;unbalanced, guided by CTC" given: "$@"

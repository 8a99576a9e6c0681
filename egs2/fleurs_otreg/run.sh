#!/usr/bin/env bash
# FLEURS: train on it, test on it and, across domains, on CoVoST-2; otherwise ../covost2_otreg/run.sh.
set -euo pipefail

exec ../covost2_otreg/run.sh --train_corpora fleurs --test_corpora "fleurs covost2" \
    real: --nbpe 1000 given: "$@"

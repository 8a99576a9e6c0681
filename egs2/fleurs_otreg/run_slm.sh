#!/usr/bin/env bash
# A speech language model regularised by optimal transport (arXiv 2508.08131): trained on FLEURS,
# tested on it and, across domains, on CoVoST-2; otherwise as ../covost2_otreg/run_slm.sh.
set -euo pipefail

exec ../covost2_otreg/run_slm.sh --train_corpora fleurs --test_corpora "fleurs covost2" "$@"

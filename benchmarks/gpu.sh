#!/usr/bin/env bash
# On a GPU: what the solver, a training step and decoding cost, and real speech with every arm.
# Each call ends within ten minutes; `real` goes on where the last call stopped.
#
#   benchmarks/gpu.sh speed OUTPUT    the figures, as JSON and as they are printed
#   benchmarks/gpu.sh real OUTPUT     egs2/covost2_otreg/run_real.sh, five seeds, all arms; its tables
#
# Both use the Python that is first on PATH; PYTHON names another.
set -euo pipefail
what=${1:?expected speed or real} out=$(realpath -m "${2:?expected a folder for the figures}")
python=${PYTHON:-python3} seconds=${SECONDS_A_CALL:-570}
cd "$(dirname "$0")/.."
mkdir -p "${out}"
"${python}" -c 'import torch; assert torch.cuda.is_available(), "no GPU that torch can use"'
"${python}" -c 'import torch; print(torch.cuda.get_device_name(), torch.__version__)' | tee "${out}/device.txt"

figure() {  # figure NAME SCRIPT WORD ...
    [ ! -e "${out}/$1.json" ] || return 0
    echo "== $1"
    "${python}" "benchmarks/$2" "${@:3}" --json "${out}/$1.json" 2> "${out}/$1.log" | tee "${out}/$1.txt"
}
case "${what}" in
    speed)
        export -f figure
        export python out
        timeout --signal INT "${seconds}" bash -c '
            figure solver ot_solver.py --device cuda --batch 64
            figure train_step train_step.py --device cuda
            figure slm_step slm_step.py --device cuda --shape 0.5B 7B
            figure decode decode.py' ;;
    real)
        cd egs2/covost2_otreg
        arms=conf/slm/whisper_base_smollm2
        timeout --signal INT "${seconds}" ./run_real.sh --ngpu 1 --seeds "1 2 3 4 5" \
            --asr_config "$(echo ${arms}/*.yaml | tr ' ' '\n' | grep -v /stage | paste -sd' ')" \
            --names "" || [ $? = 124 ]
        cp -r exp/real "${out}/" 2> /dev/null || echo "not finished: call it again" ;;
    *) echo "error: expected speed or real, got ${what}" >&2; exit 1 ;;
esac

# Sourced: how long jobs are started. cmd_backend=local runs them here, slurm sends them to a queue.

cmd_backend=${cmd_backend:-local}
slurm_options=${slurm_options:-}  # e.g. "--partition gpu --time 48:00:00"

# launch LOG NGPU COMMAND ...: run a command to its end, its output going to LOG
launch() {
    local log=$1 gpus=$2
    shift 2
    mkdir -p "$(dirname "${log}")"
    case "${cmd_backend}" in
        local)
            "$@" > "${log}" 2>&1 ;;
        slurm)
            local gres=()
            [ "${gpus}" = 0 ] || gres=(--gres "gpu:${gpus}")
            # shellcheck disable=SC2086
            sbatch --wait --job-name otreg --output "${log}" --cpus-per-task 4 "${gres[@]}" \
                ${slurm_options} --wrap "$(printf '%q ' "$@")" > /dev/null ;;
        *)
            echo "error: cmd_backend must be local or slurm, got '${cmd_backend}'" >&2
            return 1 ;;
    esac
}

# Sourced by otreg.sh: stages 11 to 13, training, decoding, scores of every system and seed.

data_arguments() {  # data_arguments SET VALID_SET CONFIG: what asr_train reads
    local name set data
    for name in train valid; do
        [ "${name}" = train ] && set=$1 || set=$2
        data=--${name}_data_path_and_name_and_type
        local speech=${dumpdir}/raw/${set}/wav.scp,speech,sound
        [ -z "${frames_dir}" ] || speech=${frames_dir}/${set}/feats.scp,speech,npy
        echo "${data} ${speech}" \
            "${data} ${text_dir}/${set}/text,text,text" \
            "--${name}_shape_file ${stats_dir}/${set}/speech_shape" \
            "--${name}_shape_file ${stats_dir}/${set}/text_shape"
        if [ -n "${features_dir}" ] && grep -q '^model: *ot_transfer' "$3"; then
            echo "${data} ${features_dir}/${set}/feats.scp,text_features,npy"
        fi
        [ "${token_type}" = slm ] || continue
        echo "${data} ${text_dir}/${set}/language,language,text_int"
        [ "${answer}" = text ] || echo "${data} ${text_dir}/${set}/transcript,transcript,text_int"
    done
}
[ "${token_type}" != slm ] || feats_normalize=none  # its encoder knows how it wants its input
common="--use_preprocessor true ${token_options[*]}
    --non_linguistic_symbols none --cleaner none --g2p none --resume true
    --fold_length 80000 --fold_length 150 --normalize ${feats_normalize} ${model_options}"
[ "${ngpu}" = 0 ] || common+=" --use_amp true"
if [ "${ngpu}" -gt 1 ]; then common+=" --multiprocessing_distributed true"; fi

# Stage 10, second half: ESPnet's own pass over the audio, for global_mvn alone
if [ "${feats_normalize}" = global_mvn ]; then
    step 10 "${stats_dir}/.done_global_mvn" launch "${stats_dir}/collect_stats.log" 0 \
        python3 -m espnet_otreg.bin.asr_train --collect_stats true --config "${init_config}" \
        ${common/--normalize global_mvn/} \
        $(data_arguments "${init_set}" "${init_valid_set}" "${init_config}") \
        --output_dir "${stats_dir}"
    common+=" --normalize_conf stats_file=${stats_dir}/train/feats_stats.npz"
fi

experiment() {  # experiment CONFIG TAG ARGUMENTS PARENT: the folder's name
    python3 -m espnet_otreg.bin.experiment_dir --config "$1" --expdir "${expdir}" --tag "$2" \
        --arguments "$3" --data "${chain}${feats_normalize#utterance_mvn}" --parent "$4" \
        ${plan:+--dry_run}
}

show_epochs() {  # show_epochs FOLDER PID: a line per epoch, until that process ends
    tail -n 0 -F "$1/train.log" --pid "$2" 2> /dev/null | stdbuf -oL sed -En \
        "s/.* ([0-9]+)epoch results: \[train\].*, loss=([0-9.]+).*\[valid\].*, loss=([0-9.]+).*/\
  $(basename "$1"): epoch \1, loss \2, validation loss \3/p" >&2
}

train() {  # train PROCESSES FOLDER CONFIG SET VALID_SET FURTHER ...: to be run in the background
    local processes=$1 folder=$2 config=$3 set=$4 valid=$5 own=${BASHPID}
    local start=(python3 -m)
    shift 5
    if [ -e "${folder}/.done" ]; then
        log "stage 11: already done: ${folder}"
        return 0
    fi
    if [ "${ngpu}" = 0 ] && [ "${processes}" -gt 1 ]; then
        # small models gain from a process per core, hardly from threads; batches are shared out
        start=(torchrun --standalone --nproc_per_node "${processes}" -m)
        set -- "$@" --dist_backend gloo
    fi
    log "stage 11: training in ${folder}, see train.log there"
    touch "${folder}/train.log"
    show_epochs "${folder}" "${own}" &
    if ! OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
        launch "${folder}/train.log" "${ngpu}" "${start[@]}" espnet_otreg.bin.asr_train \
        --config "${config}" --output_dir "${folder}" --ngpu "${ngpu}" ${common} \
        $(data_arguments "${set}" "${valid}" "${config}") "$@"; then
        # our own errors are one line; the launcher writes much after them
        grep -a '^error: ' "${folder}/train.log" | sort -u | tail -n 3 >&2 ||
            tail -n 5 "${folder}/train.log" >&2
        log "training failed, see ${folder}/train.log; the same command resumes at the last epoch"
        return 1
    fi
    touch "${folder}/.done"
}

running=()
start_training() {  # start_training PROCESSES ...: once fewer than train_nj are running
    while [ "$(jobs -rp | wc -l)" -ge "${train_nj}" ]; do sleep 1; done
    train "$@" &
    running+=($!)
}
finish_trainings() {
    local job
    for job in ${running[*]}; do wait "${job}" || fail "a training failed (see above)"; done
    running=()
}

# Stage 11: one common checkpoint, then every system from it
[ "${stop_stage}" -ge 11 ] || exit 0
init_exp=$(experiment "${init_config}" "" "${asr_args}" "")
if in_range 11; then
    start_training "${cores}" "${init_exp}" "${init_config}" "${init_set}" "${init_valid_set}" \
        ${asr_args}
    finish_trainings
fi
systems=()  # one word per system: its folders, one per seed, joined by commas
for config in ${asr_config}; do
    folders=
    for seed in ${seeds}; do
        folder=$(experiment "${config}" "seed${seed}" "--seed ${seed} ${asr_args}" "${init_exp}")
        folders+="${folders:+,}${folder}"
        [ -z "${plan}" ] || printf '%s\t%s\t%s\n' "${config}" "${seed}" "${folder}" >> "${plan}"
        ! in_range 11 || start_training $(((cores + train_nj - 1) / train_nj)) "${folder}" \
            "${config}" "${train_set}" "${valid_set}" --seed "${seed}" ${asr_args} \
            --init_param "${init_exp}/${inference_asr_model}"
    done
    systems+=("${folders}")
done
finish_trainings
[ -z "${plan}" ] || exit 0

# Stage 12 and 13: every folder decodes all test sets; then one table
decode_config=()
[ "${inference_method}" != beam ] || decode_config=(--config "${inference_config}")
decode_tag=decode_$(basename "$(python3 -m espnet_otreg.bin.experiment_dir \
    "${decode_config[@]}" --prefix "${inference_method}" \
    --expdir "${expdir}/decode" --arguments "${inference_asr_model} ${inference_args}")")
data_chain=${chain}
score_sets() {  # score_sets FOLDER: a decoding's test sets
    local set
    chain=$1  # the folder's name says what it was made from
    [ "${answer}" = text ] || return 0  # translations are scored with the table
    for set in ${test_sets}; do
        step 13 "$1/${set}/.scored_${normaliser}" python3 -m espnet_otreg.bin.score \
            --ref "${dumpdir}/raw/org/${set}" --hyp "$1/${set}/text" \
            --output "$1/${set}/score.json" --normaliser "${normaliser}"
    done
}
for folder in ${init_exp} ${systems[*]//,/ }; do
    output=${folder}/${decode_tag}
    chain=${output}
    step 12 "${output}/.done" python3 -m espnet_otreg.bin.decode_sets --asr_exp "${folder}" \
        --model_file "${inference_asr_model}" \
        --method "${inference_method}" "${decode_config[@]}" \
        --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
        --output "${output}" --nj "${inference_nj}" ${features_dir:+--lm "${language_model}"} \
        ${frames_dir:+--features "${frames_dir}"} \
        --ngpu "$([ "${gpu_inference}" = true ] && echo 1 || echo 0)" --arguments "${inference_args}"
    score_sets "${output}"
done
stock_exp=
[ -z "${stock_config}" ] || . ./stages_stock.sh

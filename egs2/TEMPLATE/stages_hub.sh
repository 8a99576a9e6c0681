# Sourced by otreg.sh: stages 14 and 15, packing the trained models and putting them on the hub.

[ -n "${asr_config}" ] || return 0  # phase 1 alone: no system of a comparison

packed=() packed_configs=() packed_names=()  # files, and of each model its config and its name
configs=(${asr_config})
chosen=${pack_systems}  # by default all but the baseline
[ -n "${chosen}" ] || chosen=${asr_config#"${configs[0]}"}
[ -n "${chosen// /}" ] || chosen=${asr_config}
[ "${chosen}" != all ] || chosen=${asr_config}
pack_seed=${pack_seed:-${seeds%% *}}
seed_place=$(tr ' ' '\n' <<< "${seeds}" | grep -nx -- "${pack_seed}" | cut -d: -f1 || true)
[ -n "${seed_place}" ] || fail "--pack_seed ${pack_seed} is none of --seeds (${seeds})"
[ "${mini}" = true ] && kind="mini " || kind=
for config in ${chosen}; do
    place=$(tr ' ' '\n' <<< "${asr_config}" | grep -nx -- "${config}" | cut -d: -f1 || true)
    [ -n "${place}" ] || fail "--pack_systems: ${config} is none of --asr_config (${asr_config})"
    folder=$(cut -d, -f"${seed_place}" <<< "${systems[$((place - 1))]}")
    packed+=("${folder}/packed.zip")
    packed_configs+=("$(basename "${config}" .yaml)")
    packed_names+=("${shown[$((place - 1))]}, trained on ${kind}${train_corpora}")
done
repository_of() {  # repository_of PLACE: several models get a repository each
    [ "${#packed[@]}" = 1 ] && echo "${hf_repo}" || echo "${hf_repo}-${packed_configs[$1]}"
}

# Stage 14: one file per model, with its card
if in_range 14 && [ "${skip_packing}" = true ]; then
    log "stage 14: nothing is packed (--skip_packing true)"
elif in_range 14; then
    table=()
    if [ -e "${results}/results.json" ] && [ "${answer}" = text ]; then
        table=(--results "${results}/results.json")
    elif [ -e "${results}/TRANSLATION.md" ] && [ "${answer}" != text ]; then
        table=(--results_page "${results}/TRANSLATION.md")
    fi
    for i in "${!packed[@]}"; do
        folder=$(dirname "${packed[${i}]}")
        # a model trained anew, and other results than before, are packed anew
        chain=$({ sed '/^  "made": {/,/^  }/d' "${table[@]:1}" /dev/null &&
            stat -L -c '%Y %s' "${folder}/${inference_asr_model}"; } | sha1sum | cut -c1-12)
        [ -e "${packed[${i}]}" ] || rm -f "${folder}/.done_packing"
        python_step 14 "${folder}/.done_packing" espnet_otreg.bin.pack --asr_exp "${folder}" \
            --model_file "${inference_asr_model}" --output "${packed[${i}]}" \
            --method "${inference_method}" "${decode_config[@]/--config/--inference_config}" \
            "--inference_args=${inference_args}" ${features_dir:+--lm "${language_model}"} \
            "${table[@]}" --name "${packed_names[${i}]}" --train_corpora ${train_corpora} --init_corpora ${init_corpora} \
            --languages ${langs} --mini "${mini}" ${hf_repo:+--hf_repo "$(repository_of "${i}")"} \
            ${pack_args}
    done
fi

# Stage 15: only where a repository is named, and its user is logged in
if ! in_range 15 || [ "${skip_upload}" = true ]; then
    :
elif [ -z "${hf_repo}" ]; then
    log "stage 15: nothing is uploaded; --hf_repo user/name puts the packed models on the hub"
else
    for i in "${!packed[@]}"; do
        [ -e "${packed[${i}]}" ] || fail "${packed[${i}]} does not exist: run stage 14 first"
        log "stage 15: ${packed[${i}]} to $(repository_of "${i}")"
        python3 -m espnet_otreg.bin.upload --pack "${packed[${i}]}" --repo "$(repository_of "${i}")"
    done
fi

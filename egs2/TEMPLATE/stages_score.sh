# Sourced by otreg.sh: the end of stage 13, tables of all systems together.

in_range 13 || return 0
if [ -z "${asr_config}" ]; then  # no system to compare: leave word of the one that was trained
    mkdir -p "${results}"
    echo "${init_exp} ${decode_tag}" > "${results}/checkpoint"
    log "stage 13: scores in ${init_exp}/${decode_tag}, named in ${results}/checkpoint"
    exit 0
fi

# The table: the baseline first, and last the common checkpoint that all systems start from
further=("${init_exp}")
further_names=("common checkpoint")
if [ -n "${encoder_row}" ]; then  # decoded its own way; a link lets the table find it
    read -r encoder_exp encoder_decoding <<< "${encoder_row}"
    ln -sfn "${encoder_decoding}" "${encoder_exp}/${decode_tag}"
    further+=("${encoder_exp}")
    further_names+=("the encoder's own CTC")
fi
if [ -n "${stock_exp}" ]; then
    further+=("${stock_exp}")
    further_names+=("stock ESPnet's speech LLM")
fi
trained_on=()  # by row: the systems, the common checkpoint, and further rows that started like it
for _ in "${systems[@]}"; do trained_on+=("${train_corpora// /+}"); done
trained_on+=("${init_corpora// /+}")
[ -z "${encoder_row}" ] || trained_on+=("${init_corpora// /+}")
[ -z "${stock_exp}" ] || trained_on+=("${train_corpora// /+}")
in_domain=()
cross_domain=()
for corpus in ${test_corpora}; do
    case " ${train_corpora} " in
        *" ${corpus} "*) in_domain+=("${corpus}_test") ;;
        *) cross_domain+=("${corpus}_test") ;;
    esac
done
if [ "${answer}" = text ]; then
    python3 -m espnet_otreg.bin.compare --baseline "${systems[0]}" \
        --systems "${systems[@]:1}" "${further[@]}" --names "${shown[@]}" "${further_names[@]}" \
        ${in_domain:+--in_domain "${in_domain[@]}"} ${cross_domain:+--cross_domain "${cross_domain[@]}"} \
        --trained_on "${trained_on[@]}" \
        --metric "${metric}" --decode_tag "${decode_tag}" --commands "${command_line}" \
        --output "${results}/RESULTS.md" --json "${results}/results.json" ${readme:+--readme "${readme}"}
    log "stage 13: results in ${results}/RESULTS.md and ${results}/results.json"
    for set in ${normalisers:+${test_sets}}; do
        python3 -m espnet_otreg.bin.score --ref "${dumpdir}/raw/org/${set}" \
            --hyp $(for i in "${!systems[@]}"; do  # of each system the first seed
                echo "${shown[${i}]// /_}=${systems[${i}]%%,*}/${decode_tag}/${set}/text"; done) \
            --normalisers ${normalisers} --output "${results}/NORMALISERS_${set}.md"
    done
else
    python3 -m espnet_otreg.bin.translation --target "${answer#text.}" \
        --systems "${systems[@]}" "${init_exp}" --names "${shown[@]}" "common checkpoint" \
        --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
        --decode_tag "${decode_tag}" --output "${results}/TRANSLATION.md" \
        --json "${results}/translation.json"
    log "stage 13: BLEU and chrF in ${results}/TRANSLATION.md"
fi

# What the language model read of each recording, and whether what it was spared was silence
if [ "${inference_method}" = slm ]; then
    python3 -m espnet_otreg.bin.compression --systems "${systems[@]}" --names "${shown[@]}" \
        --decode_tag "${decode_tag}" --fs "${fs}" ${word_times:+--word_times "${word_times}"} \
        --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
        --output "${results}/COMPRESSION.md" --json "${results}/compression.json"
    log "stage 13: compression in ${results}/COMPRESSION.md"
fi

# Alignments against the true word times, which the mini corpora alone have
if [ "${mini}" = true ] && [ "${token_type}" = lm ] && [ -n "${frame_seconds}" ]; then
    trained=$(for folder in ${systems[*]//,/ }; do
        stat -L -c '%n %Y %s' "${folder}/${inference_asr_model}"; done)
    chain=$(sha1sum <<< "${trained}" | cut -c1-12)  # a model trained anew is measured anew
    step 13 "${results}/.done_alignment" python3 -m espnet_otreg.bin.alignment \
        --systems "${systems[@]}" --names "${shown[@]}" --model_file "${inference_asr_model}" \
        --lm "${language_model}" --hop "${frame_seconds}" --word_times "${word_times}" \
        --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
        --ngpu "$([ "${gpu_inference}" = true ] && echo 1 || echo 0)" \
        --output "${results}/ALIGNMENT.md" --json "${results}/alignment.json"
fi

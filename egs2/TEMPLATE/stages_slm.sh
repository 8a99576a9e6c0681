# Sourced by stages_data.sh for token_type slm: stage 5 with a causal language model's tokenizer,
# and the frames of the frozen speech encoder, computed once where that is asked for.

[ -n "${language_model}" ] || fail "--token_type slm needs --language_model, a folder or hub name"
[ -n "${speech_encoder}" ] || fail "--token_type slm needs --speech_encoder, a folder or hub name"
if [ "${language_model}" = mini ]; then
    [ "${mini}" = true ] || fail "--language_model mini knows the mini corpora alone: give a folder" \
        "or hub name of a language model for your data"
    lm_size=mini known=${langs}
    [ "${answer}" = text ] || { lm_size=translator known="${langs} ${answer#text.}"; }
    language_model=${DOWNLOADS}/mini-${mini_size}-${lm_size/mini/llm}
    [ "${mini_size}" != smoke ] || lm_size=smoke
    ! in_range 5 || python3 -m espnet_otreg.bin.make_mini_llm --size "${lm_size}" \
        --languages "${known}" --output "${language_model}"
fi
# the models' content, not their names alone, decides what everything after was made from
fingerprint=$(python3 -m espnet_otreg.bin.lm_fingerprint --lm "${language_model}" \
    ${plan:+--missing_ok})
chain=$(sha1sum <<< "${chain} ${fingerprint} ${speech_encoder}" | cut -c1-12)

text_dir=data/token_list/slm_$(basename "${language_model}")_${answer}
python_step 5 "${text_dir}/.done" espnet_otreg.bin.slm_tokens --lm "${language_model}" \
    --data $(for set in ${training_sets}; do echo "${dumpdir}/raw/${set}"; done) \
    --answer "${answer}" --output "${text_dir}"
token_options=(--token_type word --token_list "${text_dir}/tokens.txt")

grep -q '^encoder: *espnet_speech' "${init_config}" && named=experiment || named=model
model_options="--encoder_conf ${named}=${speech_encoder} --decoder_conf model=${language_model}"
if [ "${cache_frames}" = true ]; then
    frames_dir=${dumpdir}/frames/${chain}
    python_step 5 "${frames_dir}/.done" espnet_otreg.bin.speech_features \
        --config "${init_config}" --encoder "${speech_encoder}" \
        --data $(for set in ${training_sets}; do echo "${dumpdir}/raw/${set}"; done) \
        $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
        --output $(for set in ${training_sets} ${test_sets}; do echo "${frames_dir}/${set}"; done)
fi

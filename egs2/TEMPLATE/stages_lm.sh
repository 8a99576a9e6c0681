# Sourced by stages_data.sh for token_type lm: stage 5 with a masked language model's tokenizer,
# and the features of the training text, computed once.

[ -n "${language_model}" ] || fail "--token_type lm needs --language_model, a folder or hub name"
if [ "${language_model}" = mini ]; then
    [ "${mini}" = true ] || fail "--language_model mini knows the mini corpora alone: give a folder" \
        "or hub name of a language model for your data"
    language_model=${DOWNLOADS}/mini-${mini_size}-lm
    [ "${mini_size}" = smoke ] && lm_size=smoke || lm_size=mini
    ! in_range 5 || python3 -m espnet_otreg.bin.make_mini_lm \
        --size "${lm_size}" --output "${language_model}"
fi
# the model's content, not its name alone, decides what everything after was made from
fingerprint=$(python3 -m espnet_otreg.bin.lm_fingerprint --lm "${language_model}" \
    ${plan:+--missing_ok})
chain=$(sha1sum <<< "${chain} ${fingerprint}" | cut -c1-12)

text_dir=data/token_list/lm_$(basename "${language_model}")
pieces_of() { for set in "$@"; do echo "${text_dir}/${set}/text"; done; }
[ "${allow_missing}" = true ] && required=() || required=(--require $(pieces_of ${test_sets}))
python_step 5 "${text_dir}/.done" espnet_otreg.bin.lm_tokens --lm "${language_model}" \
    --input $(for set in ${training_sets}; do echo "${dumpdir}/raw/${set}/text"; done) \
    $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}/text"; done) \
    --output $(pieces_of ${training_sets} ${test_sets}) \
    --text $(pieces_of "${init_set}" "${train_set}" | sort -u) \
    --check $(pieces_of "${init_valid_set}" "${valid_set}" ${test_sets} | sort -u) \
    "${required[@]}" --token_list "${text_dir}/tokens.txt"
features_dir=${dumpdir}/lm_features/${chain}
for set in ${train_set} ${valid_set}; do
    python_step 5 "${features_dir}/${set}/.done" espnet_otreg.bin.lm_features \
        --lm "${language_model}" --text "${text_dir}/${set}/text" --output "${features_dir}/${set}"
done
token_options=(--token_type word --token_list "${text_dir}/tokens.txt")

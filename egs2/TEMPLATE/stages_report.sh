# Sourced by otreg.sh: the end of stage 13, what the alignment does, and a page to look at it all.

page=
in_range 13 || return 0
if [ "${report}" = false ] || [ "${answer}" != text ]; then return 0; fi  # pages compare error rates
if ! python3 -c "import jinja2, matplotlib" 2> /dev/null; then
    log "stage 13: no report: pip install 'espnet_otreg[report]'"
    return 0
fi
scored=$(for folder in ${systems[*]//,/ } ${further[*]}; do
    stat -L -c '%n %Y %s' "${folder}/${decode_tag}"/*/score.json; done)
chain=$(sha1sum <<< "${scored}" | cut -c1-12)  # what is decoded anew is shown anew
reported=("${systems[@]}" "${further[@]}" --names "${shown[@]}" "${further_names[@]}")
gap=
case "${token_type}" in
    lm) ;;  # alignments of a masked language model have a table of their own
    *)
        gap=${results}/gap
        python_step 13 "${gap}/.done" espnet_otreg.bin.gap --systems "${systems[@]}" \
            --names "${shown[@]}" --model_file "${inference_asr_model}" \
            --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
            ${word_times:+--word_times "${word_times}"} ${frames_dir:+--features "${frames_dir}"} \
            --pictures "${pictures}" --output "${gap}" \
            --ngpu "$([ "${gpu_inference}" = true ] && echo 1 || echo 0)" ||
            { log "stage 13: the gap could not be measured (see above)"; gap=; }
        ;;
esac
python_step 13 "${results}/.done_report" espnet_otreg.bin.report "${reported[@]}" \
    --title "${PWD##*/}: $(IFS=,; echo "${shown[*]}" | sed 's/,/, /g')" \
    --trained_on "${trained_on[@]}" ${in_domain:+--in_domain "${in_domain[@]}"} \
    ${cross_domain:+--cross_domain "${cross_domain[@]}"} --metric "${metric}" \
    --decode_tag "${decode_tag}" ${gap:+--gap "${gap}"} --commands "${command_line}" \
    --nj "${nj}" --output "${results}/report.html"
page=$(realpath "${results}/report.html")

# Sourced by otreg.sh: stages 1 to 10, from the corpora to what ESPnet's trainer reads.

# Stage 1: data directories; 2-3: audio as the model hears it
other_speeds=$(for speed in ${speed_perturb_factors}; do
    [ "${speed}" = 1.0 ] || [ "${speed}" = 1 ] || echo "${speed}"; done)
other_speeds=${other_speeds//$'\n'/ }
for corpus in ${all_corpora}; do
    translated=  # CoVoST-2 alone
    [ "${answer}" = text ] || [ "${corpus}" != covost2 ] ||
        translated="--target ${answer#text.} --translations ${translations}"
    splits=test
    case " ${init_corpora} ${train_corpora} " in *" ${corpus} "*) splits="train dev test" ;; esac
    python_step 1 "data/.done/${corpus}" espnet_otreg.bin.prepare_data --corpus "${corpus}" \
        --root "$(root_of "${corpus}")" --languages ${langs} --splits ${splits} ${translated} \
        --max_rejected "${max_rejected}" --output data
    for split in ${splits}; do
        set=${corpus}_${split}
        speeds=1.0
        [ "${split}" != train ] || speeds+=" ${other_speeds}"
        for speed in ${speeds}; do
            suffix=
            number=3
            [ "${speed}" = 1.0 ] || { suffix=_sp${speed}; number=2; }
            python_step ${number} "${dumpdir}/raw/.done/format_${set}${suffix}" \
                espnet_otreg.bin.format_audio --input "data/${set}" --fs "${fs}" --speed "${speed}" \
                --output "${dumpdir}/raw/org/${set}${suffix}" --audio_format "${audio_format}" \
                --max_rejected "${max_rejected}" --nj "${nj}"
        done
    done
done

# Sets for training are corpora joined; test sets stay apart
sets_of() {  # sets_of CORPORA SPLIT: the formatted folders of a split, speed variants included
    local corpus speed
    for corpus in $1; do
        echo "${dumpdir}/raw/org/${corpus}_$2"
        [ "$2" = train ] || continue
        for speed in ${other_speeds}; do echo "${dumpdir}/raw/org/${corpus}_$2_sp${speed}"; done
    done
}
train_set=$(joined "${train_corpora}")_train
valid_set=$(joined "${train_corpora}")_dev
init_set=$(joined "${init_corpora}")_train
init_valid_set=$(joined "${init_corpora}")_dev
test_sets=
for corpus in ${test_corpora}; do test_sets+="${corpus}_test "; done
if [ "${init_corpora}" = "${train_corpora}" ]; then
    training_sets="${train_set} ${valid_set}"
else
    training_sets="${init_set} ${init_valid_set} ${train_set} ${valid_set}"
fi

# Stage 4: join and filter what trains; what is dropped is counted and listed
filtered=${dumpdir}/raw
[[ " ${overlap} ${sentence_overlap} " != *" drop "* ]] || filtered=${dumpdir}/raw/before_drop
for set in ${training_sets}; do
    case "${set}" in
        "${train_set}"|"${valid_set}") corpora=${train_corpora} ;;
        *) corpora=${init_corpora} ;;
    esac
    python_step 4 "${dumpdir}/raw/.done/filter_${set}" espnet_otreg.bin.filter_data \
        --input $(sets_of "${corpora}" "${set##*_}") --output "${filtered}/${set}" \
        --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}"
done

# Nothing that training reads may be tested on; a check that changes nothing leaves the chain alone
before_check=${chain}
python_step 4 "${dumpdir}/raw/.done/overlap_${train_set}_on_$(joined "${test_corpora}")" \
    espnet_otreg.bin.check_overlap \
    --train $(for set in ${training_sets}; do echo "${filtered}/${set}"; done) \
    --test $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
    --overlap "${overlap}" --sentences "${sentence_overlap}" --report "${dumpdir}/raw/overlap.tsv" \
    --output "${dumpdir}/raw"
[ "${filtered}" != "${dumpdir}/raw" ] || chain=${before_check}

# Stage 5: tokens, of all training text together
train_folders=$(printf "${dumpdir}/raw/%s\n" "${init_set}" "${train_set}" | sort -u)
text_dir=${dumpdir}/raw  # holds <set>/text as the model reads it
features_dir=            # holds <set>/feats.scp, features of the text, where a model needs them
frames_dir=              # holds <set>/feats.scp, frames of a frozen encoder, where they are cached
model_options=           # arguments of every training that the stages decide
if [ "${token_type}" = lm ]; then
    . ./stages_lm.sh
elif [ "${token_type}" = slm ]; then
    . ./stages_slm.sh
else
    token_dir=data/token_list/${token_type}_${bpemode}${nbpe}
    python_step 5 "${token_dir}/.done" espnet_otreg.bin.token_list \
        --text $(sed 's,$,/text,' <<< "${train_folders}") \
        --output "${token_dir}" --token_type "${token_type}" --nbpe "${nbpe}" --bpemode "${bpemode}"
    token_options=(--token_type "${token_type}" --token_list "${token_dir}/tokens.txt")
    [ "${token_type}" != bpe ] || token_options+=(--bpemodel "${token_dir}/bpe.model")
fi

! in_range 6 || log "stages 6-9: nothing to do, decoding uses no language model"

# Stage 10: shapes, from counts that are known; statistics only where asked for
stats_dir=${expdir}/stats/${chain}
python_step 10 "${stats_dir}/.done" espnet_otreg.bin.shapes "${token_options[@]}" \
    --data $(for set in ${training_sets}; do echo "${dumpdir}/raw/${set}"; done) \
    --text $(for set in ${training_sets}; do echo "${text_dir}/${set}/text"; done) \
    --fs "${fs}" --frames_per_second "${frames_per_second}" --output "${stats_dir}"

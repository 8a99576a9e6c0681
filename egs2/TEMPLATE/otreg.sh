#!/usr/bin/env bash
# The stages of every recipe, numbered as in ESPnet's asr.sh, from top to bottom. A recipe's run.sh
# gives the facts. Each stage declares its steps, in the words that step.sh explains; the last line
# runs those that are not done.
set -euo pipefail
. ./path.sh
. ./cmd.sh
. ./db.sh
. ./step.sh
options=$(python3 -m espnet_otreg.recipe.options "$@")  # checks them all, or ends here
eval "${options}"
command_line="./otreg.sh$(printf ' %q' "$@")"
graph=$(mktemp)

# Stage 0: mini corpora, in the layouts of the real ones
[ "${mini}" = true ] || say 0 "nothing to do, db.sh names the corpora"
for kind in ${mini_kinds}; do  # in folders of their own
    made=mini_${kind}
    step 0 "mini:${kind}" "${DOWNLOADS}/mini-${mini_size}-${kind}_%" make_mini --size "${mini_size}" \
        --languages "${langs}" --corpora "${!made}" --output @out + --jobs "${nj}"
done

# Stage 1: data directories; 2 and 3: audio as the model hears it, at other speeds too
for set in ${all_sets}; do
    corpus=${set%_*} root=root_${set%_*} languages=langs_${set%_*} translated=()
    [ "${answer}" = text ] || [ "${corpus}" != covost2 ] ||
        translated=(--target "${answer#text.}" --translations "${translations}")
    step 1 "data:${set}" "data/%/${set}" prepare_data --corpus "${corpus}" --root "${!root}" \
        --languages ${!languages} --splits "${set##*_}" "${translated[@]}" --output @up \
        + --max_rejected "${max_rejected}" --work data/unpacked
    speeds=1.0; [ "${set##*_}" != train ] || speeds+=" ${other_speeds}"
    for speed in ${speeds}; do
        number=2 suffix=_sp${speed}; [ "${speed}" != 1.0 ] || { number=3 suffix=; }
        step ${number} "org:${set}${suffix}" "${dumpdir}/raw/org/%/${set}${suffix}" format_audio \
            --input "@data:${set}" --fs "${fs}" --speed "${speed}" --output @out \
            --audio_format "${audio_format}" + --max_rejected "${max_rejected}" --nj "${nj}"
    done
done

# Stage 4: join and filter what trains; nothing of it may be tested on. What is dropped is listed
for set in ${training_sets}; do
    corpora=${init_corpora}
    [[ " ${train_set} ${valid_set} " != *" ${set} "* ]] || corpora=${train_corpora}
    parts=($(each "@org:*_${set##*_}" ${corpora}))
    [ "${set##*_}" != train ] || for speed in ${other_speeds}; do
        parts+=($(each "@org:*_train_sp${speed}" ${corpora}))
    done
    step 4 "filter:${set}" "${dumpdir}/raw/%/${set}" filter_data --input "${parts[@]}" --output @out \
        --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}"
done
step 4 overlap "${dumpdir}/raw/overlap_%" check_overlap --train $(each '@filter:*' ${kept_apart}) \
    --test "${tested[@]}" --overlap "${overlap}" --sentences "${sentence_overlap}" \
    --report @out/overlap.tsv --output @out

# Stage 5: tokens, of all training text together, and what a frozen model says of text or speech
case "${token_type}" in
    lm|slm)
        [ -z "${lm_command}" ] || step 5 lm "${DOWNLOADS}/mini-${mini_size}-${lm_name}_%" ${lm_command} \
            --size "${lm_size}" ${lm_languages:+--languages "${lm_languages}"} --output @out ;;&
    lm)
        tokens=(--lm "${lm}" --token_list @out/tokens.txt)
        step 5 tokens "data/token_list/%/lm" lm_tokens "${tokens[@]}" \
            --input $(each "${data_of}/text" ${training_sets}) \
            --output $(each '@out/*/text' ${training_sets}) \
            --text $(each '@out/*/text' ${train_sets}) --check $(each '@out/*/text' ${valid_sets})
        required=(--require $(each '@out/*/text' ${test_sets}))
        [ "${allow_missing}" = false ] || required=()
        step 5 tokens_of_tests "data/token_list/%/lm_tests" lm_tokens "${tokens[@]}" \
            --input $(each '*/text' "${tested[@]}") --output $(each '@out/*/text' ${test_sets}) \
            --text $(each '@tokens/*/text' ${train_sets}) \
            --check $(each '@out/*/text' ${test_sets}) "${required[@]}"
        for set in ${train_set} ${valid_set}; do
            job 5 "features:${set}" "${dumpdir}/lm_features/%/${set}" lm_features --lm "${lm}" \
                --text "@tokens/${set}/text" --output @out
        done ;;
    slm)
        step 5 tokens "data/token_list/%/slm" slm_tokens --lm "${lm}" --answer "${answer}" \
            --data $(each "${data_of}" ${training_sets}) --output @out ;;
    *)
        step 5 tokens "data/token_list/%/${token_type}_${bpemode}${nbpe}" token_list \
            --text $(each "${data_of}/text" ${train_sets}) --output @out \
            --token_type "${token_type}" --nbpe "${nbpe}" --bpemode "${bpemode}" ;;
esac
data_for() { [[ " ${training_sets} " != *" $1 "* ]] && echo "@org:$1" || echo "${data_of//\*/$1}"; }
[ "${cache_frames}" = false ] || for set in ${frame_sets}; do
    job 5 "frames:${set}" "${dumpdir}/frames/%/${set}" speech_features \
        "${encoder_words[@]}" --data "$(data_for "${set}")" --output @out
done
[ -z "${timed_by}" ] || [ "${mini}" = true ] || job 5 times "${dumpdir}/word_times/%.jsonl" word_times \
    --model "^${timed_by}" --data "${tested[@]}" --output @out + --ngpu %ngpu
say 6 "stages 6 to 9: nothing to do, decoding uses no language model of its own"

# Stage 10: shapes, from counts that are known; a pass over the audio for global_mvn alone
for set in ${training_sets}; do
    step 10 "shapes:${set}" "${expdir}/stats/%/${set}" shapes ${token_options} \
        --data "${data_of//\*/${set}}" --text "${text_of//\*/${set}}" --fs "${fs}" \
        --frames_per_second "${frames_per_second}" --output @up
done
common=(--output_dir @out --use_preprocessor true --non_linguistic_symbols none
    --cleaner none --g2p none --resume true --fold_length 80000 --fold_length 150)
if [ "${feats_normalize}" = global_mvn ]; then
    job 10 mvn "${expdir}/stats/%/global_mvn" asr_train --collect_stats true --config "^${init_config}" \
        "${model_words[@]}" "${common[@]}" "${reads_init[@]}" --normalize none
    common+=(--normalize_conf stats_file=@mvn/train/feats_stats.npz)
fi
common+=(--normalize "${feats_normalize}")

# Stage 11: the common checkpoints, then every system from each of them, once per seed
phase=("${model_words[@]}" "${common[@]}") warm=()
if [ -n "${warm_config}" ]; then
    train train:warm "${expdir}/asr_$(basename "${warm_config}" .yaml)_%" --config "^${warm_config}" \
        "${phase[@]}" "${reads_init[@]}" ${asr_args} + --processes "${cores}"
    warm=(--init_param @train:warm/valid.loss.best.pth)
fi
for i in "${!starts[@]}"; do  # init, and init_seedN of further --init_seeds
    train "train:${starts[i]}" "${expdir}/asr_$(basename "${init_config}" .yaml)${starts[i]#init}_%" \
        --config "^${init_config}" "${phase[@]}" "${reads_init[@]}" ${start_words[i]} ${asr_args} \
        "${warm[@]}" + --processes "${cores}"
done
start=$(each '@train:*' "${starts[@]}" | paste -sd,)  # a row of tables
systems=() trained=("${starts[@]}")  # of each system its folders, joined by commas
for config in ${asr_config}; do
    stem=$(basename "${config}" .yaml)
    reads=("${reads_train[@]}")
    ! grep -q '^model: *ot_transfer' "${config}" || reads=("${reads_taught[@]}")
    for i in "${!tags[@]}"; do  # seed1, or init_seed2:seed1 from another checkpoint
        train "train:${stem}:${tags[i]}" "${expdir}/asr_${stem}_${tags[i]//:/_}_%" --config "^${config}" \
            "${phase[@]}" "${reads[@]}" --seed "${tags[i]##*seed}" ${asr_args} \
            --init_param "@train:${start_of[i]}/${inference_asr_model}" + --processes "${cores_each}"
        trained+=("${stem}:${tags[i]}")
    done
    systems+=("$(each "@train:${stem}:*" "${tags[@]}" | paste -sd,)")
done
if [ -n "${stock_config}" ]; then  # stock ESPnet's own speech language model, one seed, same frames
    train train:stock "${expdir}/asr_$(basename "${stock_config}" .yaml)_seed${seeds%% *}_%" \
        --config "^${stock_config}" "${common[@]}" "${reads_stock[@]}" --token_type hugging_face \
        --bpemodel "${lm}" --token_list @tokens/vocabulary.txt \
        --decoder_conf "model_name_or_path=${lm}" --seed "${seeds%% *}" ${asr_args} \
        + --processes "${cores}"
fi

# Stage 12: every model decodes all test sets; 13: scores, in each set's folder
rows=("${systems[@]}" "${start}") names=("${shown[@]}" "common checkpoint") scored=()  # the steps' names
score_all() {  # score_all MODEL FOLDER
    local set; for set in ${test_sets}; do
        step 13 "score:$1:${set}" "$2/${set}/score.json" score --ref "$(data_for "${set}")" \
            --hyp "$2/${set}/text" --output @out --normaliser "${normaliser}"
        scored+=("@score:$1:${set}")
    done
}
decode_all() {  # decode_all MODEL TAG WORD ...
    job 12 "decode:$1" "@train:$1/decode_$2${split_tag}_%" decode_sets "${@:3}" \
        ++ --asr_exp "@train:$1" --sets "${tested[@]}" "${frames[@]}" --output @out \
        + --nj "${inference_nj}" --ngpu %ngpu
    # translations are scored together
    if [ "${answer}" = text ]; then score_all "$1" "@decode:$1"; else scored+=("@decode:$1"); fi
}
for model in "${trained[@]}"; do
    decode_all "${model}" "${inference_method}" "${how[@]}" "--arguments=${inference_args}" "${read_by[@]}"
done
if [ "${encoder_row}" = own ]; then  # a Whisper as it came, by its own decoder
    job 12 decode:encoder "${expdir}/encoder_%/@@decode:init" decode_sets --method whisper \
        --asr_exp "^${speech_encoder}" ++ --sets "${tested[@]}" --output @out \
        + --nj "${inference_nj}" --ngpu %ngpu
    score_all encoder @decode:encoder
    rows+=(@decode:encoder/..) names+=("the encoder's own decoder")
elif [ -n "${encoder_row}" ]; then  # decoded its own way; a link lets the table find it
    step 13 link:encoder "${encoder_row%/*}/@@decode:init" link --target "^${encoder_row}" --output @out
    rows+=("${encoder_row%/*}") names+=("the encoder's own CTC") scored+=(@link:encoder)
fi
alone() {  # alone MODEL TITLE WORD ...: decoded its own way; a link lets the table find it
    decode_all "$1" "$1" "${@:3}"
    step 13 "link:$1" "@train:$1/@@decode:init" link --target "@decode:$1" --output @out
    rows+=("@train:$1") names+=("$2") scored+=("@link:$1")
}
[ -z "${stock_config}" ] || alone stock "stock ESPnet's speech LLM" --method beam \
    --model_file valid.loss.best.pth --config "^${stock_config%/*}/decode_stock.yaml"
[ -z "${warm_config}" ] || [ "${answer}" != text ] || alone warm "the phase before, read by the table" \
    --method slm --model_file valid.loss.best.pth "--arguments=${inference_args}"
for tag in "${rescored[@]}"; do  # the teacher itself chooses among the baseline's best sentences
    job 12 "rescore:${tag}" "${expdir}/rescored_${stems[0]}_${tag//:/_}_%/@@decode:init" rescore --lm "${lm}" \
        --asr_exp "@train:${stems[0]}:${tag}" --model_file "${inference_asr_model}" --sets "${tested[@]}" \
        --normaliser "${normaliser}" --output @up --decode_tag @@decode:init + --ngpu %ngpu
done
rows+=($(each '@rescore:*/..' "${rescored[@]}" | paste -sd,)) scored+=($(each '@rescore:*' "${rescored[@]}"))
[ -z "${rescored[*]}" ] || names+=("${shown[0]}, rescored by the teacher")

# Stage 13, second half: tables of all systems together, what the alignment does, a page of it all
shown_sets=(--names "${shown[@]}" --sets "${tested[@]}" ${word_times})
of_init=(--names "${shown[@]}" "common checkpoint" --decode_tag @@decode:init)
[ -z "${probe_layers}" ] || step 13 probe "@train:init/PROBE.md" probe --experiment @train:init \
    --checkpoint "${inference_asr_model}" --layers ${probe_layers} --clips 500 --output @out \
    --data "${data_of//\*/${train_set}}" --conditions @mini:broad/word_times.jsonl
if [ -z "${asr_config}" ]; then
    say 13 "no system to compare: --show decode:init names the folder with the scores"
elif [ "${answer}" = text ]; then
    compared=("${rows[@]:1}" --names "${names[@]}" ${domains} --trained_on ${trained_on}
        --metric "${metric}" --decode_tag @@decode:init)
    step 13 results "${results}/results.json" compare --baseline "${rows[0]}" --systems "${compared[@]}" \
        --output @up/RESULTS.md --json @out ${readme:+--readme "${readme}"} '<' "${scored[@]}" \
        + --commands "${command_line}"
    for set in ${normalisers:+${test_sets}}; do
        texts=()  # of each system the first seed's
        for i in "${!stems[@]}"; do texts+=("${shown[i]// /_}=@decode:${stems[i]}:seed${seeds%% *}/${set}/text"); done
        step 13 "normalisers:${set}" "${results}/NORMALISERS_${set}.md" score --ref "$(data_for "${set}")" \
            --hyp "${texts[@]}" --normalisers ${normalisers} --output @out
    done
else
    step 13 results "${results}/translation.json" translation --target "${answer#text.}" \
        --systems "${systems[@]}" "${start}" "${of_init[@]}" --sets "${tested[@]}" \
        --output @up/TRANSLATION.md --json @out '<' "${scored[@]}"
fi
[ -z "${asr_config}" ] || [ "${inference_method}" != slm ] ||  # what its language model read
    step 13 compression "${results}/compression.json" compression --systems "${systems[@]}" \
        "${shown_sets[@]}" --decode_tag @@decode:init --fs "${fs}" --output @up/COMPRESSION.md \
        --json @out '<' "${scored[@]}"
[ -z "${asr_config}" ] || [ -z "${frame_seconds}" ] || [ -z "${word_times}" ] || [ "${token_type}" != lm ] ||
    step 13 alignment "${results}/alignment.json" alignment --systems "${systems[@]}" \
        "${shown_sets[@]}" --model_file "${inference_asr_model}" --lm "${lm}" \
        "${frames[@]}" --hop "${frame_seconds}" --output @up/ALIGNMENT.md --json @out + --ngpu %ngpu
if [ -n "${asr_config}" ] && [ "${report} ${answer}" = "true text" ]; then
    gap=()
    if [ "${token_type}" != lm ]; then  # a masked language model's alignments have their own table
        gap=(--gap @gap --may_lack_gap)
        optional 13 gap "${results}/gap" gap --systems "${systems[@]}" "${shown_sets[@]}" "${frames[@]}" \
            --model_file "${inference_asr_model}" --pictures "${pictures}" --output @out + --ngpu %ngpu
    fi
    step 13 report "${results}/report.html" report "${rows[0]}" "${compared[@]}" "${gap[@]}" \
        --title "${PWD##*/}: ${names_shown}" --output @out '<' "${scored[@]}" \
        + --nj "${nj}" --commands "${command_line}"
fi

# Stage 14: one file per model, with its card; 15: to the hub, where a repository is named
for i in ${packed}; do
    model=train:${stems[i]}:seed${pack_seed} repo=${hf_repo}
    [ "${packed}" = "${i}" ] || repo+=${hf_repo:+-${stems[i]}}  # of several, each has its own
    step 14 "pack:${stems[i]}" "@${model}/packed.zip" pack --asr_exp "@${model}" --output @out \
        "${how[@]}" "${read_by[@]/#--config/--inference_config}" "--inference_args=${inference_args}" \
        "${pack_table[@]}" --name "${shown[i]}, trained on ${kind_of_data}${train_corpora}" --languages ${langs} \
        --train_corpora ${train_corpora} --init_corpora ${init_corpora} --mini "${mini}" \
        ${repo:+--hf_repo "${repo}"} ${pack_args} '<' @results
    [ -z "${hf_repo}" ] || [ "${skip_upload}" = true ] || always 15 "upload:${stems[i]}" \
        "@${model}/uploaded" upload --pack "@pack:${stems[i]}" --repo "${repo}"
done
[ -n "${packed}" ] || say 14 "nothing is packed"
[ -n "${hf_repo}" ] || say 15 "nothing is uploaded; --hf_repo user/name puts the packs on the hub"

exec python3 -m espnet_otreg.recipe.run "${graph}" --stage "${stage}" --stop_stage "${stop_stage}" \
    --plan "${plan}" --show "${show}" --expdir "${expdir}" --ngpu "${ngpu}" \
    --gpu_inference "${gpu_inference}" --num_nodes "${num_nodes}" --train_nj "${train_nj}"

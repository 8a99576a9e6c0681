# Sourced by stages_model.sh with --stock_config: stock ESPnet's own speech language model, on the
# same frames, in as many updates as both phases together. One seed: it is there for orientation.

token_type=hugging_face  # from here on data_arguments gives what the stock task asks for
common="--use_preprocessor true --token_type hugging_face --bpemodel ${language_model}
    --token_list ${text_dir}/vocabulary.txt --non_linguistic_symbols none --cleaner none --g2p none
    --resume true --fold_length 80000 --fold_length 150 --normalize none
    --decoder_conf model_name_or_path=${language_model}"
[ "${ngpu}" = 0 ] || common+=" --use_amp true"
text_dir=${dumpdir}/raw
chain=${data_chain}
seed=${seeds%% *}
stock_exp=$(experiment "${stock_config}" "seed${seed}" "--seed ${seed} ${asr_args}" "")
if in_range 11; then
    start_training "${cores}" "${stock_exp}" "${stock_config}" "${train_set}" "${valid_set}" \
        --seed "${seed}" ${asr_args}
    finish_trainings
fi
decode_stock=${stock_config%/*}/decode_stock.yaml
stock_tag=decode_$(basename "$(python3 -m espnet_otreg.bin.experiment_dir \
    --config "${decode_stock}" --prefix stock --expdir "${expdir}/decode")")
step 12 "${stock_exp}/${stock_tag}/.done" python3 -m espnet_otreg.bin.decode_sets \
    --asr_exp "${stock_exp}" --model_file valid.loss.best.pth --method beam \
    --config "${decode_stock}" --features "${frames_dir}" \
    --sets $(for set in ${test_sets}; do echo "${dumpdir}/raw/org/${set}"; done) \
    --output "${stock_exp}/${stock_tag}" --nj "${inference_nj}" \
    --ngpu "$([ "${gpu_inference}" = true ] && echo 1 || echo 0)"
score_sets "${stock_exp}/${stock_tag}"
ln -sfn "${stock_tag}" "${stock_exp}/${decode_tag}"  # where the table looks

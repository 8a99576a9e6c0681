# Sourced by recipes of speech language models that run on mini corpora: trains their speech encoder,
# stock ESPnet on broad speech, with the caller's options, and leaves ${encoder_row}, its decoding.

encoder=(--mini true --langs "en es" --frames_per_second 16 --nbpe 300 --bpemode bpe
    --token_type bpe --train_corpora broad --init_corpora broad --test_corpora "covost2 fleurs"
    --init_config conf/slm/mini/encoder.yaml --asr_args "${ENCODER_ARGS:-}" --probe_layers "1 2 3"
    --answer text --stock_config "" --asr_config "" --names "" --readme "" --pack_systems ""
    --inference_method ctc_greedy --inference_args "" --inference_asr_model valid.acc.ave.pth
    --language_model "" --lm_seed 0 --init_seeds "" --cache_frames false --results exp/speech_encoder)
OTREG_CALLER=$$ ./otreg.sh given: "$@" "${encoder[@]}"
encoder_row=$(./otreg.sh given: "$@" "${encoder[@]}" --show decode:init)
if [ ! -e "${encoder_row}" ] && [[ " $* " != *" --plan"* ]]; then
    exit 0  # --stop_stage ended it before
fi

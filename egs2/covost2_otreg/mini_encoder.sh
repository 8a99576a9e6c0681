# Sourced by run_slm.sh and run_st.sh where there are no corpora: the miniature's speech encoder, stock
# ESPnet on broad speech. Leaves ${encoder_row}, its folder and the decoding of it, and ${shared}.

shared=(--mini true --langs "en es" --frames_per_second 16 --nbpe 300 --bpemode bpe)
encoder=exp/speech_encoder
./otreg.sh "${shared[@]}" "$@" \
    --token_type bpe \
    --train_corpora broad \
    --test_corpora "covost2 fleurs" \
    --init_config conf/slm/mini/encoder.yaml \
    --answer text --stock_config "" --asr_config "" --names "" --asr_args "${ENCODER_ARGS:-}" \
    --inference_method ctc_greedy --inference_args "" \
    --inference_asr_model valid.acc.ave.pth \
    --results "${encoder}"
if [ ! -e "${encoder}/checkpoint" ]; then
    [[ " $* " != *" --plan "* ]] || {
        echo "error: what is trained depends on the speech encoder: run ./run_slm.sh first" >&2; exit 1
    }
    exit 0  # --stop_stage ended it before
fi
encoder_row=$(cat "${encoder}/checkpoint")
made=$(sed -En 's/.* --mini_size ([a-z]+) .*/\1/p' <<< " $* ")
probe=${encoder_row% *}/PROBE.md
if [ ! -e "${probe}" ]; then  # can voice and rate still be read from its layers?
    python3 -m espnet_otreg.bin.probe --experiment "${encoder_row% *}" --layers 1 2 3 \
        --data dump/raw/broad_train --clips 500 --output "${probe}" \
        --conditions "${DOWNLOADS}/mini-${made:-mini}-broad/word_times.jsonl"
fi

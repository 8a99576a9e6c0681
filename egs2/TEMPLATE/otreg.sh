#!/usr/bin/env bash
# The stages of every recipe, numbered as in ESPnet's asr.sh. A recipe's run.sh gives the facts.
set -euo pipefail
set -m  # background trainings get process groups of their own, so that Ctrl-C can end them all
trap 'for job in $(jobs -p); do kill -- "-${job}" 2> /dev/null || true; done' EXIT
trap 'echo "interrupted: finished work is kept, the same command goes on from there" >&2; exit 130' INT TERM

. ./path.sh
. ./cmd.sh
. ./db.sh
. ./parse_options.sh

cores=$(env -u OMP_NUM_THREADS nproc)  # nproc obeys OMP_NUM_THREADS

# General
stage=0               # first stage to run
stop_stage=15         # last stage to run
ngpu=auto             # GPUs per training; auto: all that are present
nj=${cores}           # processes for data preparation
inference_nj=${cores} # processes for decoding
gpu_inference=auto    # decode on the GPU: true, false, auto
train_nj=auto         # trainings at a time; auto: one on a GPU, two on two or more CPU cores
dumpdir=dump          # formatted audio
expdir=exp            # trained models and results

# Data
langs="en es fr"      # languages, trained together, of which a corpus may lack some; all: those present
mini=auto             # make and use mini corpora; auto: when db.sh lacks a path
mini_size=mini        # smoke, mini or large
train_corpora=        # what the compared systems train on
init_corpora=         # what the common checkpoint trains on; default: train_corpora
test_corpora=         # what everything is tested on; others than train_corpora are cross-domain
overlap=error         # clips or speakers of a test set in training: error, drop them there, allow
sentence_overlap=allow  # sentences of a test set in training, which are counted: error, drop, allow
max_rejected=0.1      # share of unusable utterances from which on a language's split is refused
audio_format=flac
fs=16000
speed_perturb_factors=   # e.g. "0.9 1.0 1.1"
min_wav_duration=0.1  # seconds; shorter training utterances are dropped and listed
max_wav_duration=20   # seconds; longer training utterances are dropped and listed
frames_per_second=20  # encoder frames; an utterance with more tokens than frames is dropped

# Tokens
token_type=bpe        # bpe, char, lm: pieces of a masked language model, slm: of a causal one
nbpe=300
bpemode=unigram
allow_missing=false   # let test sets need pieces that no training text has; they become <unk>
language_model=       # for lm and slm: a folder or hub name; mini: one is made of mini text
feats_normalize=utterance_mvn  # or global_mvn, which costs a pass over all audio

# Speech language model (token_type slm)
speech_encoder=       # folder or hub name of the frozen encoder [the config's]
cache_frames=false    # compute the frozen encoder's frames once; they are read instead of audio
answer=text           # what the model answers: text, or text.en for translations into English
translations=raw      # as delivered; lower: lower case, no punctuation
stock_config=         # stock ESPnet's own speech language model, trained beside: a row in the table
encoder_row=          # folder and decoding of the plain encoder, "exp/x decode_y": a row in the table

# Models: all start from one checkpoint, with the same updates, seeds and data order
init_config=          # phase 1: stock training that every system starts from
asr_config=           # phase 2: configs of the systems, the baseline first; none: phase 1 alone
asr_args=             # further arguments of every training, e.g. "--max_epoch 2"
seeds="1"             # phase 2 is run once per seed
inference_method=beam # beam: stock ESPnet's joint search; ctc_greedy: CTC alone, no search; slm
inference_config=     # of the beam search
inference_asr_model=valid.acc.ave.pth
inference_args=       # further arguments of every decoding

# Scoring
normaliser=basic      # applied to references and hypotheses alike, named in the results
normalisers=          # several, or all: a table of what each makes of the same hypotheses
metric=auto           # auto: words, but characters for languages without spaces; cer
names=                # the systems' names in tables, ';' between them; default: config names
results=              # folder for tables; default: expdir
plan=                 # only list config, seed and folder of each training in this file; run nothing
frame_seconds=        # of the encoder; with token_type lm and mini corpora, measures alignments too
readme=               # a README whose table between the results markers is replaced
report=true           # a page with tables, figures and every utterance, in the results folder
pictures=4            # utterances of each test set whose alignment is drawn

# Packing and upload
skip_packing=false    # true: no stage 14
skip_upload=false     # true: no stage 15, which uploads nothing without --hf_repo either
hf_repo=              # user/name on the Hugging Face hub; several models: user/name-CONFIG
pack_systems=         # which of --asr_config's models, or all; default: all but the baseline
pack_seed=            # the seed whose model is packed; default: the first
pack_args=            # further arguments of espnet_otreg.bin.pack, e.g. "--include_base"

help_message=$(
    echo "Usage: ./run.sh [--option value ...]   (stages 0-15 as in ESPnet's asr.sh)"
    echo "  0 mini corpora  1 data  2 speed perturbation  3 format  4 filter  5 tokens"
    echo "  10 shapes  11 train  12 decode  13 score and compare"
    echo "  14 pack  15 upload"
    sed -n '/^# General/,/^help_message/p' "$0" | sed '$d; s/^\([a-z_]*\)=/--\1 /')
command_line="./otreg.sh$(printf ' %q' "$@")"
parse_options "$@"

log() { echo "$(date '+%H:%M:%S') $*" >&2; }
in_range() { [ "${stage}" -le "$1" ] && [ "$1" -le "${stop_stage}" ]; }
fail() { echo "error: $*" >&2; exit 1; }

for needed in train_corpora test_corpora init_config; do
    [ -n "${!needed}" ] || fail "--${needed} is not set: run a recipe's run.sh, or give it"
done
if [ -n "${stock_config}" ] && [ "${token_type} ${cache_frames}" != "slm true" ]; then
    fail "--stock_config needs --token_type slm and --cache_frames true: stock ESPnet reads frames"
fi
[ "${answer}" = text ] || [ "${token_type}" = slm ] ||
    fail "--answer ${answer} needs --token_type slm: only a speech language model translates"
[ "${answer}" = text ] || python3 -c "import sacrebleu" 2> /dev/null ||
    fail "translations are scored by sacrebleu: pip install 'espnet_otreg[translation]'"
init_corpora=${init_corpora:-${train_corpora}}
results=${results:-${expdir}}
[ -z "${plan}" ] || { stage=99 stop_stage=99; }  # beyond the last: no step runs
all_corpora=$(printf '%s\n' ${init_corpora} ${train_corpora} ${test_corpora} | sort -u)
if [ "${ngpu}" = auto ]; then
    ngpu=$(nvidia-smi --list-gpus 2> /dev/null | grep -c '^GPU' || true)
fi
[ "${gpu_inference}" != auto ] || { [ "${ngpu}" = 0 ] && gpu_inference=false || gpu_inference=true; }
[ "${train_nj}" != auto ] || { [ "${ngpu}" = 0 ] && [ "${cores}" -gt 1 ] && train_nj=2 || train_nj=1; }

if [ -n "${names}" ]; then
    IFS=';' read -ra shown <<< "${names}"
else
    shown=()
    for config in ${asr_config}; do shown+=("$(basename "${config}" .yaml)"); done
fi
systems_asked=$(wc -w <<< "${asr_config}")
[ "${#shown[@]}" = "${systems_asked}" ] || fail "--names names ${#shown[@]} systems" \
    "(${names}) and --asr_config ${systems_asked}: give one name each, ';' between them"

# A step is done when its marker holds the same history: the commands of all steps before it and
# its own. Counts of processes do not change what is made, so they are left out.
chain=
step() {  # step STAGE MARKER COMMAND ...
    local number=$1 marker=$2 history
    shift 2
    history=$(printf '%s\n' "${chain}" "$*" | sed 's/ --nj [0-9]*//; s/ --ngpu [0-9]*//')
    chain=$(sha1sum <<< "${history}" | cut -c1-12)
    in_range "${number}" || return 0
    if [ -e "${marker}" ] && [ "$(head -n 1 "${marker}")" = "${chain}" ]; then
        log "stage ${number}: already done: ${marker} (remove it to redo)"
        return 0
    fi
    log "stage ${number}: $*"
    "$@" || return  # also where a caller goes on without
    mkdir -p "$(dirname "${marker}")"
    printf '%s\n' "${chain}" "$*" > "${marker}.tmp"
    mv "${marker}.tmp" "${marker}"
}
python_step() { local number=$1 marker=$2; shift 2; step "${number}" "${marker}" python3 -m "$@"; }

joined() { tr ' ' '_' <<< "$1"; }  # name of several corpora together
root_of() {  # where a corpus lies
    local variable
    variable=$(tr '[:lower:]' '[:upper:]' <<< "$1")
    echo "${!variable:-}"
}

# Stage 0: mini corpora, in the layouts of the real ones
word_times=  # true times of the words, which they alone have
if [ "${mini}" = auto ]; then
    mini=false
    for corpus in ${all_corpora}; do [ -n "$(root_of "${corpus}")" ] || mini=true; done
fi
if [ "${mini}" = true ]; then
    mini_root=${DOWNLOADS}/mini-${mini_size}
    graded_root=${mini_root}-graded
    COVOST2=${mini_root} FLEURS=${mini_root}/fleurs MLS=${mini_root}/mls
    word_times=${mini_root}/word_times.jsonl
    [[ "${all_corpora}" != *graded* ]] || word_times=${graded_root}/word_times.jsonl
    GRADED0=${graded_root}/graded0 GRADED1=${graded_root}/graded1 GRADED2=${graded_root}/graded2
    BROAD=${mini_root}-broad/broad
    LIBRISPEECH=${mini_root}-librispeech COMMONVOICE=${mini_root}-commonvoice
    if in_range 0; then
        log "stage 0: mini corpora (${mini_size}) in ${mini_root}"
        python3 -m espnet_otreg.bin.make_mini --size "${mini_size}" --languages "${langs}" \
            --output "${mini_root}" --jobs "${nj}"
        if [[ "${all_corpora}" == *graded* ]]; then
            python3 -m espnet_otreg.bin.make_mini --size "${mini_size}" --languages "${langs}" \
                --corpora "graded0 graded1 graded2" --output "${graded_root}" --jobs "${nj}"
        fi
        for corpus in broad librispeech commonvoice; do  # each in a folder of its own
            [[ $'\n'"${all_corpora}"$'\n' == *$'\n'"${corpus}"$'\n'* ]] || continue
            python3 -m espnet_otreg.bin.make_mini --size "${mini_size}" --languages "${langs}" \
                --corpora "${corpus}" --output "${mini_root}-${corpus}" --jobs "${nj}"
        done
    fi
else
    ! in_range 0 || log "stage 0: nothing to do, db.sh names the corpora"
    for corpus in ${all_corpora}; do
        [ -n "$(root_of "${corpus}")" ] || fail "db.sh has no path for ${corpus} (or: --mini true)"
    done
fi

. ./stages_data.sh
. ./stages_model.sh
. ./stages_score.sh
. ./stages_report.sh
. ./stages_hub.sh
[ -z "${page}" ] || log "the report, for any browser: ${page}"

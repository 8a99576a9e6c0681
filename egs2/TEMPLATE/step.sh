# Sourced by otreg.sh: how a stage declares its steps. A step is
#
#   step STAGE NAME OUTPUT COMMAND WORD ...    COMMAND: a module of espnet_otreg.bin, whose --help says more
#
# or `job`, which a queue may run; `train`, of stage 11, with processes of its own; `optional`, which
# may fail; `always`, which is never done. OUTPUT and the words may hold
#
#   @NAME/file   what the step NAME makes; @@NAME is the name of its folder alone
#   @out, @up    this step's OUTPUT, and the folder above it
#   ^path        a file or folder of the user's, known by its content; ^^path: a corpus
#   %            in OUTPUT: the key, a hash of the words, of what other steps they name, of contents
#   ++ words     decide what is in OUTPUT, but not its key
#   < words      are waited for; the command does not get them
#   + words      decide nothing: numbers of processes and the like
#
# A step runs if its key changed, if what it reads did, or if OUTPUT was removed. `--plan` tells.

declare_step() { printf '%s\0' "$#" "$@" >> "${graph}"; }
step() { declare_step step "$1" "$2" "$3" "espnet_otreg.bin.$4" "${@:5}"; }
job() { declare_step job "$1" "$2" "$3" "espnet_otreg.bin.$4" "${@:5}"; }
optional() { declare_step optional "$1" "$2" "$3" "espnet_otreg.bin.$4" "${@:5}"; }
always() { declare_step always "$1" "$2" "$3" "espnet_otreg.bin.$4" "${@:5}"; }
train() { declare_step train 11 "$1" "$2" espnet_otreg.bin.asr_train "${@:3}"; }
say() { declare_step say "$@"; }

unique() { printf '%s\n' "$@" | awk 'NF && !seen[$0]++'; }
each() { local item; for item in "${@:2}"; do echo "${1//\*/${item}}"; done; }  # 'a*b' X Y: aXb aYb

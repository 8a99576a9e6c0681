# Sourced by otreg.sh: how a stage declares a step, `step STAGE NAME OUTPUT COMMAND WORD ...`.
# COMMAND is a module of espnet_otreg.stages. `job`: a queue may run it; `train`: stage 11, with processes
# of its own; `optional`: may fail; `always`: is never done. OUTPUT and the words may hold
#
#   @NAME/file   what step NAME makes; @@NAME: its folder's name, @NAME/..: what that is in   @out, @up   OUTPUT, and above it
#   ^path        the user's file or folder, by content; ^^path: a corpus    %   in OUTPUT: the step's key
#   ++ words that are not in that key   < words that are waited for   + words that decide nothing
#
# The key is a hash of the words, with the keys of the steps and the contents of the files they name.

declare_step() { printf '%s\0' "$#" "$@" >> "${graph}"; }
step() { declare_step step "$1" "$2" "$3" "espnet_otreg.stages.$4" "${@:5}"; }
job() { declare_step job "$1" "$2" "$3" "espnet_otreg.stages.$4" "${@:5}"; }
optional() { declare_step optional "$1" "$2" "$3" "espnet_otreg.stages.$4" "${@:5}"; }
always() { declare_step always "$1" "$2" "$3" "espnet_otreg.stages.$4" "${@:5}"; }
train() { declare_step train 11 "$1" "$2" espnet_otreg.stages.asr_train "${@:3}"; }
say() { declare_step say "$@"; }
each() { local item; for item in "${@:2}"; do echo "${1//\*/${item}}"; done; }  # 'a*b' X Y: aXb aYb

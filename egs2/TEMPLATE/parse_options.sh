# Sourced: turns `--name value` into the variable `name`, for the variables that already exist.

parse_options() {
    while [ $# -gt 0 ]; do
        case "$1" in
            --help|-h) echo "${help_message}"; exit 0 ;;
            --*)
                local name=${1#--}
                name=${name//-/_}
                if [ -z "${!name+set}" ]; then
                    echo "error: unknown option $1 (see $0 --help)" >&2; exit 1
                fi
                if [ $# -lt 2 ]; then
                    echo "error: option $1 needs a value" >&2; exit 1
                fi
                printf -v "${name}" '%s' "$2"
                shift 2 ;;
            *) echo "error: expected --option value, got '$1' (see $0 --help)" >&2; exit 1 ;;
        esac
    done
}

# Sourced: finds the package's own checkout and its virtual environment, if there is one.

OTREG_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
if [ -x "${OTREG_ROOT}/.venv/bin/python" ]; then
    export PATH="${OTREG_ROOT}/.venv/bin:${PATH}"
fi
export OTREG_ROOT
export PYTHONPATH="${OTREG_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8

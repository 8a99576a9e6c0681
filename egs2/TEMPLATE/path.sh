# Sourced: finds the package's own checkout and its virtual environment, if there is one.

OTREG_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
OTREG_VENV=${OTREG_VENV:-${OTREG_ROOT}/.venv}  # make names that of its PYTHON
if [ -x "${OTREG_VENV}/bin/python" ]; then
    export PATH="${OTREG_VENV}/bin:${PATH}"
fi
export OTREG_ROOT
export PYTHONPATH="${OTREG_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8

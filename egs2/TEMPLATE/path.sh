# Sourced: finds the package and its virtual environment. In a checkout these are its own; elsewhere
# (espnet-otreg recipes), what is active or lies in .venv beside egs2.

OTREG_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
export OTREG_ROOT
export PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8
OTREG_VENV=${OTREG_VENV:-${OTREG_ROOT}/.venv}  # make names that of its PYTHON
if [ -x "${OTREG_VENV}/bin/python" ]; then
    export PATH="${OTREG_VENV}/bin:${PATH}"
fi
if [ -d "${OTREG_ROOT}/espnet_otreg" ]; then
    export PYTHONPATH="${OTREG_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
elif ! python3 -c "import espnet_otreg" 2> /dev/null; then
    echo "error: $(command -v python3 || echo python3) has no espnet_otreg: activate the environment in which it is installed" >&2
    return 1
fi

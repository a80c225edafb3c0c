#!/usr/bin/env bash
# Makes .venv once and keeps it up to date: `setup.sh demo` installs what a run needs, `setup.sh dev` the lot.
# Returns at once while pyproject.toml, the pins and the folder are the ones it was made for.
# PYTHON=/path/to/python chooses the interpreter a new .venv is made with.
set -euo pipefail
cd "$(dirname "$0")/.."

want=$1
here=$(pwd -P)
fingerprint="$here $(cat pyproject.toml requirements-dev.txt | cksum)"
fit='import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 12) or "t" in sys.abiflags)'

ready() {
    [ -x .venv/bin/python ] && grep -qxF "$1 $fingerprint" .venv/.ready 2>/dev/null
}

# A virtual environment cannot be moved: one that came here with a copied folder is made anew.
usable() {
    .venv/bin/python -c "$fit" 2>/dev/null &&
        .venv/bin/python -m pip --version >/dev/null 2>&1 &&
        [ "$(cat .venv/.made-for 2>/dev/null || echo "$here")" = "$here" ]
}

candidates() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" || echo "$PYTHON"
        return
    fi
    local name file home=${HOME:-/nonexistent}
    for name in python3.13 python3.12 python3 python python3.14 python3.15; do
        command -v "$name" || true
    done
    for file in \
        "${PYENV_ROOT:-$home/.pyenv}"/versions/*/bin/python3 \
        "$home"/.local/share/uv/python/*/bin/python3 \
        "$home"/.asdf/installs/python/*/bin/python3 \
        "$home"/{mini,ana}conda3/bin/python3 "$home"/miniforge3/bin/python3 \
        /usr/local/bin/python3.1[2-9] /usr/bin/python3.1[2-9] \
        /opt/homebrew/bin/python3.1[2-9] /opt/*/bin/python3; do
        if [ -x "$file" ]; then echo "$file"; fi
    done
}

version() {
    "$1" -c 'import platform, sys
print("Python", platform.python_version(), end=" free-threaded" if "t" in sys.abiflags else "")
try: import ensurepip, venv
except ImportError: print(", without venv or ensurepip", end="")' 2>/dev/null || echo "does not run"
}

make_venv() {
    local python tried=""
    while IFS= read -r python; do
        if "$python" -c "$fit" >/dev/null 2>&1 && "$python" -m venv --clear .venv >/dev/null 2>&1; then
            echo "$here" >.venv/.made-for
            return
        fi
        tried+="  $python ($(version "$python"))"$'\n'
    done < <(candidates)
    cat >&2 <<END
No fit Python found. rewardtogo needs Python 3.12 or newer, with its venv and ensurepip modules
(on Debian and Ubuntu they are in the package python3-venv). Install one, or name one you have:
  make test PYTHON=/path/to/python3.12
Tried:
${tried:-  nothing: no python on the path
}
END
    exit 1
}

install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -qq --no-input "$@" || {
        echo "Set-up failed while installing packages, see above: is the network there? The same command tries again." >&2
        exit 1
    }
}

if ready dev || ready "$want"; then exit 0; fi
usable || make_venv
echo "Setting up .venv with $(version .venv/bin/python) (once, a minute or two) …"
rm -f .venv/.ready
case $want in
    demo) install --constraint requirements-dev.txt --editable '.[plot]' ;;
    dev) install --requirement requirements-dev.txt --editable '.[all]' ;;
    *) echo "usage: $0 demo|dev" >&2 && exit 2 ;;
esac
echo "$want $fingerprint" >.venv/.ready
echo "Ready in $SECONDS s."

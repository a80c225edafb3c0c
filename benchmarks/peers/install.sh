#!/usr/bin/env bash
# Sets up the peers' environments in the repository root: install.sh [jax] [torch] [exact] [mushroom], all by default.
# An environment whose requirements have not changed is left alone.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

# A shim may refuse to run, and a distribution's Python may come without venv: ask before choosing.
find_python() {
    local version="$1" candidate
    for candidate in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/python \
        "$HOME"/.local/share/uv/python/cpython-"$version".*/bin/python python3 python; do
        if [ "$("$candidate" -c 'import ensurepip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "install.sh: no Python $version found: looked for python$version, in ~/.pyenv/versions and uv's folder" >&2
    return 1
}

install_peers() {
    local name="$1" version="$2" python
    local requirements="$here/requirements-$name.txt" folder="$root/.venv-peers-$name"
    if cmp -s "$requirements" "$folder/installed-requirements.txt"; then
        return
    fi
    python="$(find_python "$version")"
    echo "setting up the $name peers in ${folder#"$root/"} (minutes, once)" >&2
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$folder/installed-requirements.txt"
}

[ "$#" -gt 0 ] || set -- jax torch exact mushroom
for name in "$@"; do
    case "$name" in
        jax) install_peers jax 3.12 ;;
        torch) install_peers torch 3.11 ;;
        exact) install_peers exact 3.12 ;;
        mushroom) install_peers mushroom 3.11 ;;
        *) echo "install.sh: unknown peers '$name'; known: jax, torch, exact, mushroom" >&2; exit 2 ;;
    esac
done

#!/usr/bin/env bash
# Writes requirements-dev.txt anew: the newest versions that fit together, tried in a venv of their own.
# The tools named here are the direct ones; what the library itself needs stands in pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

direct=(beartype distreqx mkdocs-material pre-commit 'pyright[nodejs]' pytest pytest-xdist ruff scipy)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install -qq --upgrade --no-input '.[all]' "${direct[@]}"
{
    echo "# Exact versions for development, direct and transitive; written by \`make pins\`."
    "$scratch/venv/bin/python" -m pip freeze --exclude rewardtogo
} >"$scratch/pins"
mv "$scratch/pins" requirements-dev.txt

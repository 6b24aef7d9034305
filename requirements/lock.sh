#!/bin/sh
# Write run.txt and dev.txt anew from pyproject.toml: every version pinned, every published file hashed, for all
# supported Pythons and platforms at once. Pins that still fit are kept; UPGRADE=1 takes the newest of everything.
set -eu
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'

compile() {
    "$tool/bin/uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-emit-build-options --no-annotate --no-header \
        ${UPGRADE:+--upgrade} "$@"
}

lock() {
    name=$1
    shift
    file=requirements/$name.txt
    compile "$@" --output-file "$file"
    { echo "# Written by \`make lock\` from pyproject.toml; not edited by hand."; grep -v '^#' "$file"; } > "$tool/$name"
    cat "$tool/$name" > "$file"
}

lock run --extra app --extra otlp --extra server --extra ssh --group build pyproject.toml
lock dev --group dev --constraint requirements/run.txt

#!/bin/sh
# Make .venv hold exactly the locked packages and this checkout's `tabard`, and do nothing when it does already.
#
#   requirements/install.sh run    what `make up` needs
#   requirements/install.sh dev    that, and what the tests and checks need
#
# PYTHON names the interpreter to use; without it the newest Python >= 3.11 on the PATH is taken.
set -eu
cd "$(dirname "$0")/.."

group=${1:?say run or dev}
venv=.venv
usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "setup: $1" >&2
    exit 1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$usable" 2>/dev/null ||
            fail "expected Python >= 3.11 with venv and ensurepip, found PYTHON=$PYTHON, which is not; name another"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c "$usable" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "expected Python >= 3.11 with venv and ensurepip, found $(python3 --version 2>&1 || echo none) on the PATH; \
install one (Debian: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3"
}

# What the environment was made from. The path is part of it: an environment does not survive a move.
state() {
    { pwd; cat requirements/install.sh pyproject.toml "$@"; } | git hash-object --stdin
}

pip() {
    # A user's pip configuration may name a mirror, a proxy or a certificate, and is obeyed in that. What would
    # send packages elsewhere or change the pinned versions is switched off for these calls.
    PIP_CONSTRAINT=/dev/null PIP_USER=0 PIP_REQUIRE_HASHES=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        PIP_ROOT_USER_ACTION=ignore "$venv/bin/python" -m pip -qq "$@"
}

case $group in
    run) set -- requirements/run.txt ;;
    dev) set -- requirements/run.txt requirements/dev.txt ;;
    *) fail "expected run or dev, found $group" ;;
esac

wanted=$(state "$@")
if [ "$(cat "$venv/$group.state" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c "$usable" 2>/dev/null; then
    exit 0
fi

here=$(pwd)
if [ -e "$venv" ] && { [ "$(cat "$venv/path.state" 2>/dev/null || echo "$here")" != "$here" ] ||
    ! "$venv/bin/python" -c "$usable" 2>/dev/null; }; then
    echo "setup: $venv was made elsewhere or by another Python; making it again"
    rm -rf "$venv"
fi
if [ ! -e "$venv" ]; then
    python=$(find_python)
    echo "setup: making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
    echo "$here" > "$venv/path.state"
fi

echo "setup: installing $*"
rm -f "$venv/$group.state"
for file in "$@"; do
    pip install --require-hashes --requirement "$file"
done
pip install --no-deps --no-build-isolation --editable .
echo "$wanted" > "$venv/$group.state"

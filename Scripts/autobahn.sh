#!/bin/sh
# Runs the public Autobahn fuzzing client, cases 1-7 and 10, against an echo endpoint built from our WebSocket layer, and
# writes the result to docs/autobahn.md. Fails when a case fails or a connection ends with a wrong close code.
#
# Needs Python 2.7, for which the test suite is written: PYTHON2=/path/to/python2.7, else python2.7 or pyenv's.
# The suite is installed under .build/autobahn and nowhere else.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/.build/autobahn
version=0.8.2

is_python2() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; }

find_python2() {
    for candidate in "${PYTHON2:-}" python2.7 python2 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if [ -n "$candidate" ] && is_python2 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo 'Python 2.7 with pip is needed; set PYTHON2 to it' >&2
    exit 1
}

python2=$(find_python2)
mkdir -p "$work"
if [ ! -f "$work/suite-$version/installed" ]; then
    rm -rf "$work/suite-$version"
    "$python2" -m pip install --quiet --disable-pip-version-check --target "$work/suite-$version" \
        "autobahntestsuite==$version"
    touch "$work/suite-$version/installed"
fi

# With the flags of the tests, so that their build serves this program too.
swift build --package-path "$root" --product websocket-echo --enable-code-coverage
echo_server=$(swift build --package-path "$root" --enable-code-coverage --show-bin-path)/websocket-echo

rm -rf "$work/reports" "$work/port"
"$echo_server" >"$work/port" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM
tries=0
until [ -s "$work/port" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo 'the echo endpoint does not start' >&2; exit 1; }
    sleep 0.1
done

cat >"$work/client.json" <<JSON
{
    "outdir": "$work/reports",
    "servers": [{"agent": "less-sync", "url": "ws://127.0.0.1:$(cat "$work/port")", "options": {"version": 18}}],
    "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
    "exclude-cases": [],
    "exclude-agent-cases": {}
}
JSON
# addsitedir, unlike PYTHONPATH, makes namespace packages work.
start='import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()'
(cd "$work" && "$python2" -c "$start" "$work/suite-$version" --mode fuzzingclient --spec "$work/client.json") \
    >"$work/client.log" 2>&1 || {
    tail -20 "$work/client.log" >&2
    exit 1
}

python3 "$root/Scripts/autobahn-summary" "$work/reports/index.json" "$root/docs/autobahn.md"

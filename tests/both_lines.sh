#!/bin/sh
# The whole suite on TransformerLens 4 and, beside it, the tests marked `model` on TransformerLens 3, each on one thread; what
# the second printed follows when both have ended, and both closing lines come last.
#
#     sh tests/both_lines.sh VENV VENV3 [ARGUMENT OF PYTEST]...
#
# Fails if either run fails, and neither waits for the other. With arguments that select tests, none of them need be marked
# `model`; without, a second run of no tests is a failure.

set -u
venv=$1 venv3=$2
shift 2

logs=$(mktemp -d) || exit 1
second=
trap 'rm -rf "$logs"' EXIT
trap 'test -z "$second" || kill "$second" 2>/dev/null; exit 130' INT TERM
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # tiny models gain nothing from more, and the other run has the other core
export OMP_NUM_THREADS

# line VENV: the TransformerLens there
line() {
    "$1/bin/python" -c 'from importlib.metadata import version; print(version("transformer-lens"))'
}

# closing NAME: pytest's last line in $logs/NAME
closing() {
    found=$(grep -E ' in [0-9.]+s' "$logs/$1" | tail -n 1)
    printf '%s\n' "${found:-pytest did not finish (exit status $2)}"
}

lens4=$(line "$venv") lens3=$(line "$venv3")
"$venv3/bin/pytest" "$@" -m model >"$logs/3" 2>&1 &
second=$!
printf '\nTransformerLens %s\n' "$lens4"
{ "$venv/bin/pytest" "$@"; echo $? >"$logs/status"; } | tee "$logs/4"
status4=$(cat "$logs/status")
wait "$second"
status3=$?
second=
printf '\nTransformerLens %s\n' "$lens3"
cat "$logs/3"

printf '\nTransformerLens %s, all tests:\n' "$lens4"
closing 4 "$status4"
printf 'TransformerLens %s, model-facing tests:\n' "$lens3"
closing 3 "$status3"
if [ "$status3" -eq 5 ] && [ $# -gt 0 ]; then
    status3=0
fi
[ "$status4" -eq 0 ] && [ "$status3" -eq 0 ]

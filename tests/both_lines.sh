#!/bin/sh
# The whole suite on TransformerLens 4, then the tests marked `model` on TransformerLens 3; both closing lines come last.
#
#     sh tests/both_lines.sh VENV VENV3 [ARGUMENT OF PYTEST]...
#
# Fails if either run fails, and the second runs whatever came of the first. With arguments that select tests, none of
# them need be marked `model`; without, a second run of no tests is a failure.

set -u
venv=$1 venv3=$2
shift 2

logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM

# run VENV [ARGUMENT OF PYTEST]...: sets `lens` (the TransformerLens there), `status` and `closing` (pytest's last line)
run() {
    environment=$1
    shift
    lens=$("$environment/bin/python" -c 'from importlib.metadata import version; print(version("transformer-lens"))')
    printf '\nTransformerLens %s\n' "$lens"
    { "$environment/bin/pytest" "$@"; echo $? >"$logs/status"; } | tee "$logs/output"
    status=$(cat "$logs/status")
    closing=$(grep -E ' in [0-9.]+s' "$logs/output" | tail -n 1)
    closing=${closing:-"pytest did not finish (exit status $status)"}
}

run "$venv" "$@"
lens4=$lens status4=$status closing4=$closing

run "$venv3" "$@" -m model
if [ "$status" -eq 5 ] && [ $# -gt 0 ]; then
    status=0
fi

printf '\nTransformerLens %s, all tests:\n%s\n' "$lens4" "$closing4"
printf 'TransformerLens %s, model-facing tests:\n%s\n' "$lens" "$closing"
[ "$status4" -eq 0 ] && [ "$status" -eq 0 ]

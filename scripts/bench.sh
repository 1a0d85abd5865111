#!/bin/bash
# bench.sh [NAME...]: runs benchmarks (tests/bench/NAME.sh that can be executed; all of them when none
# is named), prints their tables, and writes BUILD/bench.json: one flat object of "figure": number.
# It reports and does not judge: the status is 0 unless a benchmark could not run at all.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
export BUILD
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
status=0
all=$(find tests/bench -name '*.sh' -executable -printf '%f\n' | sed 's/\.sh$//' | sort)
[ $# -gt 0 ] || set -- $all
for name in "$@"; do
    if [ ! -x "tests/bench/$name.sh" ]; then
        echo "there is no benchmark \"$name\"; there are: ${all//$'\n'/ }" >&2
        exit 1
    fi
    "tests/bench/$name.sh" 3>> "$figures" || status=1
done
awk 'BEGIN { printf "{" } { printf "%s\n  \"%s\": %s", (NR > 1 ? "," : ""), $1, $2 } END { print "\n}" }' "$figures" > "$BUILD/bench.json"
echo "figures in $BUILD/bench.json"
exit $status

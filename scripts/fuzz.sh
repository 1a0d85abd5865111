#!/bin/sh
# Runs fuzzers for a while, one after the other:
#
#	scripts/fuzz.sh BUILD SECONDS TARGET...
#
# BUILD/fuzz/TARGET is the fuzzer.  What tests/fuzz/corpus/TARGET holds is where it begins; what it
# finds of interest gathers in BUILD/fuzz/corpus/TARGET, and the next run begins there.  A line per
# target.  An input that crashes one is kept under BUILD/fuzz/crashes, with the fuzzer's words in
# BUILD/fuzz/TARGET.log, and the status is 1.
set -eu

if [ $# -lt 3 ]; then
	echo "usage: $0 BUILD SECONDS TARGET..." >&2
	exit 2
fi
build=$1 seconds=$2
shift 2
here=$(dirname "$0")/..
crashes=$build/fuzz/crashes
failed=0
mkdir -p "$crashes"

for target; do
	program=$build/fuzz/$target corpus=$build/fuzz/corpus/$target log=$build/fuzz/$target.log
	seeds=$here/tests/fuzz/corpus/$target
	mkdir -p "$corpus"
	if [ -d "$seeds" ]; then
		cp -R "$seeds/." "$corpus/"
	fi
	dict=
	if [ -f "$here/tests/fuzz/$target.dict" ]; then
		dict=-dict=$here/tests/fuzz/$target.dict
	fi
	# 25 s for one input and 1 GiB are far more than any parser of ours may need.
	if "$program" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=25 -print_final_stats=1 \
		-artifact_prefix="$crashes/$target-" $dict "$corpus" >"$log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
		printf 'ok    %-20s %s inputs in %s s, %s edges\n' "$target" "${runs:-?}" "$seconds" "${cover:-?}"
	else
		failed=1
		printf 'CRASH %-20s %s\n' "$target" "$(grep -m 1 -E 'ERROR:|Assertion|runtime error' "$log" || tail -n 1 "$log")"
		printf '      see %s and %s/%s-*\n' "$log" "$crashes" "$target"
	fi
done
exit $failed

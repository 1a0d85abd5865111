#!/bin/bash
# The Xen benchmark, in nested Xen (tests/xen): what our hot-plug helper saves, and what a wake costs.
#
#     BENCH_N=10            rounds
#     CPU=qemu64,+npt       a machine for PVH guests (else PV)
#     BENCH_LIMIT=1200      seconds that the machine may take
#
# A round is interleaved, in turning order: libxl's creation of a domain with jitsu-vif, and with the
# stock script; "xl create" with the stock script, to the first byte; a client's SYN to the first byte, of a
# service that was off, and of one that was suspended.  tests/xen/bench.sh measures.  Prints the table, and the
# figures as "name value" lines to descriptor 3.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$top/build}
said=$(mktemp)
trap 'rm -f "$said"' EXIT

[ -x "$BUILD/tests/bench/xen" ] || { echo "Xen: skipped: libxen-dev is not installed"; exit 0; }
export PASS="BENCH_N=${BENCH_N:-10}"
"$top/tests/xen/run.sh" "$BUILD" "$top/tests/xen/bench.sh" "${BENCH_LIMIT:-1200}" > "$said" 2>&1
status=$?
grep -v '^figure ' "$said"
[ $status != 77 ] || exit 0
sed -n 's/^figure //p' "$said" >&3
exit $status

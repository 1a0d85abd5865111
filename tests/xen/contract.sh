#!/bin/bash
# contract.sh: the backend contract (tests/backends/test_contract.c) against jitsu-libxl, in dom0 of a nested Xen.
# run.sh runs it; check.sh counts its lines, one for each case.  With PV guests, and PVH where the machine can have them.
set -u
failed=0
types=pv
case $XEN_CPU in *npt*) types='pv pvh' ;; esac

# What cmocka says, as lines of ours; what it says of a failed case stands above that.
tell() { # tell TYPE
    awk -v type="$1" '
        $1 == "[" && $2 == "OK" { print "ok - contract, libxl " type ": " $NF; next }
        $1 == "[" && $2 == "FAILED" && $NF ~ /^test_/ && !seen[$NF]++ { print "not ok - contract, libxl " type ": " $NF; next }
        $1 == "[" && $2 == "SKIPPED" && $NF ~ /^test_/ && !seen[$NF]++ { print "skip - contract, libxl " type ": " $NF; next }
        !/^\[/ { print "    " $0 }'
}

for type in $types; do
    began=$SECONDS
    /build/tests/backends/test_contract libxl "/build/guests/www-$type.elf" "$type" 2>&1 | tell "$type"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || failed=1
    echo "# contract, libxl $type: $((SECONDS - began)) s, status $status"
done
exit $failed

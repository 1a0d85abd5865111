#!/bin/bash
# contract.sh: the backend contract (tests/backends/test_contract.c) against jitsu-libxl, in dom0 of a nested Xen.
# run.sh runs it; check.sh counts its lines, one for each case.  With PV guests, and PVH where the machine has them.
set -u
failed=0
types=pv
case $XEN_CPU in *npt*) types='pv pvh' ;; esac

# What cmocka says, as lines of ours; what it says of a failed case stands above its line.
tell() { # tell TYPE
    awk -v of="contract, libxl $1" '
        BEGIN { word["OK"] = "ok"; word["FAILED"] = "not ok"; word["SKIPPED"] = "skip" }
        $1 == "[" && ($2 in word) && $NF ~ /^test_/ {
            if (!told[$NF]++)
                print word[$2] " - " of ": " $NF
        }
        !/^\[/ || /ERROR|LINE/ { print "    " $0 }'
}

for type in $types; do
    began=$SECONDS
    /build/tests/backends/test_contract libxl "/build/guests/www-$type.elf" "$type" 2>&1 | tell "$type"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || failed=1
    echo "# contract, libxl $type: $((SECONDS - began)) s, status $status"
done
exit $failed

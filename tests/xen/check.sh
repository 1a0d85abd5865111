#!/bin/bash
# check.sh BUILD [long]: jitsud and jitsu-libxl on a nested Xen (suite.sh): lines that scripts/check.sh counts.
# With PV guests; long: with PVH guests, too, and the full counts; then the backend contract (contract.sh) and the
# unikernels' own test.  TESTS='test_x ...': these of suite.sh only.  PARTS='suite contract selftest': these alone.
# ARCH=arm64: that Xen, with the programs in BUILD-arm64 and a Linux guest (suite-arm64.sh).
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${1:?usage: check.sh BUILD [long]}
long=${2:-}
failed=0

skip() { echo "skip - nested Xen # $*"; exit 77; }

run_suite() { # run_suite CPU SECONDS [SCRIPT]
    local status room=''
    [ -z "$long" ] || [ "${ARCH:-}" = arm64 ] || room='MEMORY=2560 DOM0=1280' # for what is saved of a Linux
    # shellcheck disable=SC2086
    env $room CPU=$1 LONG=$long PASS="TESTS=${TESTS:-}" "$here/run.sh" "$build" "$here/${3:-suite.sh}" "$2"
    status=$?
    case $status in
    0) ;;
    1) failed=1 ;; # it has said what
    77) echo "skip - nested Xen, $1 # it cannot run here" ;;
    *) echo "not ok - nested Xen, $1: status $status"; failed=1 ;;
    esac
}

suffix=${ARCH:+-$ARCH}
for program in jitsu-libxl jitsu-vif; do
    [ -x "$build$suffix/$program" ] || skip "$program is not built: the package libxen-dev is missing"
done
[ -z "${SANITIZED:-}" ] || skip "emulated and with sanitizers it takes too long"
if [ -n "$suffix" ]; then
    run_suite cortex-a57 1500 suite-arm64.sh
    exit $failed
fi
[ -f "$build/guests/www-pv.elf" ] || skip "the guests for Xen are not built (make guests)"
if [ -z "$long" ]; then
    run_suite qemu64 400
    exit $failed
fi
for part in ${PARTS:-suite $([ -n "${TESTS:-}" ] || echo contract selftest)}; do
    case $part in
    suite)
        run_suite qemu64 2400
        run_suite qemu64,+npt 2400
        ;;
    contract) run_suite qemu64,+npt 900 contract.sh ;;
    selftest) run_suite qemu64,+npt 900 ../guests/selftest-xen.sh ;;
    esac
done
exit $failed

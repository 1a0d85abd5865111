#!/bin/bash
# check.sh BUILD [long]: every test, and a count of them as the last line.
#
#     unit tests      cmocka programs, each bounded in time; most once more for arm64, under QEMU's user emulation
#     guests          the unikernels under plain QEMU
#     contract        the backend contract against real libvirt, in both isolations
#     nested Xen      jitsu-libxl in dom0 of an emulated machine, no root needed (tests/xen); long: the contract, too
#     system tests    real libvirt, real guests, namespaces of their own (tests/system)
#     fuzzers         long only: 60 s each
#
# Exit status 0 when nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
long=${2:-}
passed=0
failed=0
skipped=0
log=$(mktemp)
# QEMU's user must be able to read the kernel, wherever the checkout is.
images=$(mktemp -d)
chmod 755 "$images"
trap 'rm -rf "$log" "$images"' EXIT

export BUILD=$build
export CMOCKA_MESSAGE_OUTPUT=STDOUT
export UBSAN_OPTIONS=print_stacktrace=1

# Adds what a cmocka program said in $log; $1 its status, $2 its name.
count_cmocka() {
    local p s f
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | paste -sd+ - | bc_sum)
    s=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | paste -sd+ - | bc_sum)
    f=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | paste -sd+ - | bc_sum)
    [ "$1" = 0 ] || [ "$f" -gt 0 ] || f=1
    [ $((p + s + f)) -gt 0 ] || f=1 # it ran no test
    passed=$((passed + p))
    skipped=$((skipped + s))
    failed=$((failed + f))
    if [ "$f" -gt 0 ]; then
        echo "not ok - $2: $f failed (status $1)"
        sed 's/^/    /' "$log"
    else
        echo "ok - $2: $p passed$([ "$s" = 0 ] || echo ", $s skipped: $(grep -i 'skip:' "$log" | sort -u | head -3 | tr '\n' ' ')")"
    fi
}

bc_sum() { local sum; read -r sum || true; echo $((${sum:-0})); }

# Runs cmocka programs, whose names come as lines, a program for each CPU at a time: most of their time they wait.
# Counts them in their order.
run_programs() { # run_programs DIRECTORY WHAT [COMMAND...]
    local under=$1 what=$2 results name names
    shift 2
    results=$(mktemp -d)
    mapfile -t names
    # shellcheck disable=SC2016  # the other sh expands it
    printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I '{}' sh -c '
        results=$1 name=$2; shift 2
        mkdir -p "$results/${name%/*}"
        timeout 300 "$@" > "$results/$name" 2>&1 < /dev/null
        echo $? > "$results/$name.status"' sh "$results" '{}' "$@" "$under/{}"
    for name in "${names[@]}"; do
        cp "$results/$name" "$log"
        count_cmocka "$(cat "$results/$name.status")" "$name$what"
    done
    rm -rf "$results"
}

run_unit() { run_programs "$build/tests" '' < "$build/tests/list"; }

# Those that were built for arm64.  (Sanitizers have looked at the same sources.)
run_arm64() {
    local arm64=$build-arm64 why
    [ -z "${SANITIZED:-}" ] || return
    why=
    command -v qemu-aarch64-static > /dev/null || why="no qemu-aarch64-static (package qemu-user-static)"
    [ -e "$arm64/root/packages" ] || why="the libraries for it could not be had"
    command -v aarch64-linux-gnu-gcc > /dev/null || why="no aarch64-linux-gnu-gcc"
    if [ -n "$why" ]; then
        echo "skip - unit tests for arm64 # $why"
        skipped=$((skipped + 1))
        return
    fi
    run_programs "$arm64/tests" ' for arm64' qemu-aarch64-static -L "$arm64/root" < "$arm64/tests/list-arm64"
}

# The backend contract, as the unit tests ran it against the fake, now against real libvirt.
run_contract() { # run_contract MODE...
    timeout 600 "$build/tests/backends/test_contract" "$@" > "$log" 2>&1
    local status=$?
    if [ $status = 77 ]; then
        echo "skip - backend contract, $1: $(tail -n 1 "$log")"
        skipped=$((skipped + 1))
    else
        count_cmocka $status "backend contract, $1${3:+ $3}"
    fi
}

# Runs a script that prints "ok", "not ok" and "skip" lines, shows them as they come, counts them.
run_script() { # run_script SECONDS COMMAND...
    local limit=$1 status p f s began=$SECONDS
    shift
    timeout --kill-after=20 "$limit" "$@" 2>&1 < /dev/null | tee "$log"
    status=${PIPESTATUS[0]}
    p=$(grep -c '^ok ' "$log")
    f=$(grep -c '^not ok ' "$log")
    s=$(grep -ci '^skip \|^ok # skip' "$log")
    p=$((p - $(grep -ci '^ok # skip' "$log")))
    if [ "$status" != 0 ] && [ "$status" != 77 ] && [ "$f" = 0 ]; then
        echo "not ok - $*: status $status$([ "$status" = 124 ] && echo ": over its $limit s")"
        f=1
    fi
    echo "# ${*##*/}: $((SECONDS - began)) s"
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
}

run_unit
run_arm64
# Our processes are not dumpable, so that LeakSanitizer cannot look at them; unit tests were looked at.
export ASAN_OPTIONS=detect_leaks=0
suite_limit=600
xen_limit=500
[ -z "$long" ] || suite_limit=3000 xen_limit=7000
if [ "$(id -u)" = 0 ]; then
    run_script 300 env GUESTS_DIR="$build/guests" SELFTEST_LIMIT=270 tests/guests/selftest.sh
    install -m 644 "$build/guests/www.elf" "$images/"
    [ ! -f "$build/guests/www-arm64.img" ] || install -m 644 "$build/guests/www-arm64.img" "$images/"
    run_contract libvirt "$images/www.elf"
    run_contract libvirt "$images/www.elf" strict
    [ -z "$long" ] || run_contract libvirtd "$images/www.elf"
    for suite in tests/system/*.sh; do
        [ "$suite" = tests/system/lib.sh ] || run_script "$suite_limit" "$suite"
    done
else
    echo "skip - system tests # need root: they make network namespaces"
    skipped=$((skipped + 1))
fi
run_script "$xen_limit" tests/xen/check.sh "$build" "$long"
[ -z "$long" ] || run_script "$xen_limit" env ARCH=arm64 tests/xen/check.sh "$build" "$long"
if [ -n "$long" ]; then
    # shellcheck disable=SC2086
    run_script 3600 scripts/fuzz.sh "$build" 60 $FUZZERS
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

# What the benchmarks share: a table for people, figures for build/bench.json, QEMU by hand.  Sourced.
#
# Measurements are kept one to a line in $dir/ms/WHAT; "-1" is one that failed.  Figures are
# "name value" lines on descriptor 3.

. "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"

need_root() { [ "$(id -u)" = 0 ] || { echo "the benchmark $(basename "$0" .sh) needs root" >&2; exit 1; }; }

die() { echo "bench: $*" >&2; tail -n 20 "$dir/log" "$dir"/*/log >&2; exit 1; }
figure() { echo "$1 $2" >&3; }

median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print -1 }'; }
percentile() { sort -g | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999999); if (i < 1) i = 1; print NR ? v[i] : -1 }'; }
good() { grep -v '^-' "$1"; }
failures() { grep -c '^-' "$1"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : -1) }'; }

ctl_of() { "$BUILD/jitsuctl" -S "$1/run/control.sock" "${@:2}"; }

# raw_argv OUT SERVICE LAST-OCTET: libvirt's own command line for this service, from the QEMU it has
# started (domxml-to-native forgets the address of a virtio-mmio NIC, so it cannot say it of a
# microvm).  Changed: a tap of its own, made before; MAC and address.  Taken out: what only libvirt
# can use (-S, its monitor, the console's socket, its secret).
raw_argv() {
    local tap=raw$3 mac=02:00:00:00:99:$3 pid word option=
    ip -n "$host" tuntap add "$tap" mode tap vnet_hdr
    in_host sysctl -qw "net.ipv6.conf.$tap.disable_ipv6=1"
    ip -n "$host" link set "$tap" master br0 up
    ctl start "$2" >> "$dir/bench.log" || die "$2 does not start"
    pid=$(qemu_of "$2")
    while IFS= read -r word; do
        case $option in
        -chardev|-mon) ;;
        -object) [[ $word == *secret* ]] || printf '%s\n%s\n' "$option" "$word" ;;
        -device)
            word=$(sed "s/\"mac\":\"[^\"]*\"/\"mac\":\"$mac\"/" <<< "$word")
            [[ $word == *isa-serial* ]] || printf '%s\n%s\n' "$option" "$word" ;;
        -netdev) printf '%s\n%s\n' "$option" "tap,ifname=$tap,script=no,downscript=no,id=hostnet0" ;;
        -append) printf '%s\n%s\n' "$option" "$(sed "s/ip=10\.77\.0\.[0-9]*/ip=10.77.0.$3/" <<< "$word")" ;;
        *)
            option=
            case $word in
            -chardev|-mon|-object|-device|-netdev|-append) option=$word; continue ;;
            -S) ;;
            *) printf '%s\n' "$word" ;;
            esac
        esac
        option=
    done < <(tr '\0' '\n' < "/proc/$pid/cmdline") > "$1"
    ctl stop "$2" >> "$dir/bench.log" || die "$2 does not stop"
}

# Interleaved: each of them by one(), in turning order.  (The neighbour a client has is not part of
# what is measured: one() begins with forget_neighbours.)
run_rounds() { # run_rounds N WHAT...
    local n=$1 i
    shift
    for i in $(seq "$n"); do
        [ -t 2 ] && printf '\r  round %d of %d ' "$i" "$n" >&2
        for what in "$@"; do one "$what"; done
        set -- "${@:2}" "$1" # the next round begins with another
    done
    [ -t 2 ] && printf '\r%30s\r' '' >&2
    return 0
}

row() { printf '  %-46s %9s %9s %9s %5s\n' "$@"; }
stat_row() { # stat_row TITLE FILE
    row "$1" "$(good "$2" | median)" "$(good "$2" | percentile 10)" "$(good "$2" | percentile 90)" "$(wc -l < "$2")"
}

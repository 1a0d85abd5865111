#!/bin/bash
# cells.sh HYPERVISOR ARCH: the boot matrix's cells of one hypervisor and one architecture of guests.
#
# HYPERVISOR: embed, libvirtd (both in namespaces of the test's own), libxl (in a dom0: tests/xen).
# ARCH: x86_64, aarch64.
#
#     GUESTS="unikernel linux image"  which guests; libxl's unikernels of x86_64: unikernel-pv, unikernel-pvh
#     IMAGE=FILE CMDLINE='...'        what "image" is: any kernel that answers HTTP on PORT (80), with its own
#     INITRD=FILE MEMORY=64MiB        arguments, in which {ip}, {prefix}, {gw}, {name}, {boot} are filled in
#     HOLDS="off park" STOPS="destroy shutdown suspend save"
#     INSTEAD=RESULT WHY='...'        tries none of the cells, and says this of each
#
# A cell is a service of its own, that a real client in a namespace wakes: by a query where connections
# are not held, else by connecting.  It gets the page, has the service stopped, looks whether that is what
# became of the VM, wakes it again, and has it ended.  Prints a line per cell, of fields between tabs:
#
#     hypervisor arch guest hold stop  result because  COLD  AGAIN
#
# result: pass, fail, skipped.  COLD and AGAIN are milliseconds from the wake on, "-" where there is none:
# asked the hypervisor, runs, answers ARP, port open, up; and the client's, to the whole page.  What went
# wrong in detail goes to descriptor 2.
set -u
hypervisor=${1:?usage: cells.sh HYPERVISOR ARCH}
arch=${2:?usage: cells.sh HYPERVISOR ARCH}
lib=system/lib.sh
[ "$hypervisor" != libxl ] || [ -n "${INSTEAD:-}" ] || lib=xen/lib.sh
[ "$hypervisor-$arch" != libxl-aarch64 ] || PATIENCE=${PATIENCE:-240} # a Linux is slow there
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../$lib"
big_guests=$guests
[ "$hypervisor" != libxl ] || big_guests=/host/build/guests # they are not copied into dom0's memory
holds=${HOLDS:-off park}
stops=${STOPS:-destroy shutdown suspend save}
port=${PORT:-80}
marks='start running link port up'
no_phases=$'-\t-\t-\t-\t-\t-'
# Nobody else is on this machine's bridge: no time is spent on looking.
conflict_probe=0s

# ---- guests: each sets what service() takes, or says why it is not there ----

all_guests() {
    case ${GUESTS:-}-$hypervisor-$arch in
    -libxl-x86_64) echo "unikernel-pv unikernel-pvh linux${IMAGE:+ image}" ;;
    -*) echo "unikernel linux${IMAGE:+ image}" ;;
    *) echo "$GUESTS" ;;
    esac
}

unikernel_file() { # unikernel_file GUEST
    case $hypervisor-$1-$arch in
    libxl-*-aarch64) echo www-xen-arm64.img ;;
    *-aarch64) echo www-arm64.img ;;
    libxl-unikernel-*) echo "www${1#unikernel}.elf" ;;
    *) echo www.elf ;;
    esac
}

# image NAME FILE: copies it where QEMU's user can read it
image() { install -m 644 "$2" "$dir/images/$1" 2> /dev/null || { because="no $2"; return 1; }; }

linux_dir() {
    case $hypervisor-$arch in
    libxl-aarch64) echo "$guests/linux" ;; # its kernel is that dom0's, and with it in memory
    *-aarch64) echo "$big_guests/linux-arm64" ;;
    *) echo "$big_guests/linux" ;;
    esac
}

linux_console() {
    case $hypervisor-$arch in
    libxl-*) echo 'console=hvc0' ;;
    *-aarch64) echo 'console=ttyAMA0' ;;
    *) echo "console=ttyS0 tsc_early_khz=$(tsc_khz)" ;;
    esac
}

keys=() # of the guest looked at
because=

prepare_guest() { # prepare_guest GUEST
    local line='ip={ip}/{prefix} gw={gw} name={name} boot={boot}'
    because=
    keys=(machine.arch "\"$arch\"" start_timeout '"240s"' max_hold '"240s"' stop_timeout '"60s"')
    case $1 in
    unikernel*)
        image "$1" "$guests/$(unikernel_file "$1")"
        keys+=(machine.kernel "\"$dir/images/$1\"" machine.cmdline "\"$line\"")
        case $1 in *-*) keys+=(machine.machine "\"${1#*-}\"") ;; esac ;;
    linux)
        image linux "$(linux_dir)/vmlinuz" && image initrd "$(linux_dir)/initrd"
        keys+=(machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\""
            machine.memory '"160MiB"' machine.cmdline "\"$(linux_console) quiet panic=-1 $line\"") ;;
    image)
        image image "$IMAGE" && { [ -z "${INITRD:-}" ] || image image-initrd "$INITRD"; }
        keys+=(machine.kernel "\"$dir/images/image\"" machine.cmdline "\"${CMDLINE:-$line}\"" ports "[$port]"
            machine.memory "\"${MEMORY:-64MiB}\"")
        [ -z "${INITRD:-}" ] || keys+=(machine.initrd "\"$dir/images/image-initrd\"") ;;
    esac
    [ -z "$because" ]
}

# A microvm has a power button only if it is a general-purpose machine (one with an initrd).
button_keys() { # button_keys GUEST STOP
    case $hypervisor-$arch-$1-$2 in
    libxl-* | *-linux-*) ;;
    *-x86_64-*-shutdown) echo 'machine.machine "pc" machine.memory "32MiB"' ;;
    esac
}

# ---- the hypervisor ----

prepare_hypervisor() {
    case $hypervisor in
    embed) isolation=fast ;;
    libvirtd) start_libvirtd ;;
    esac
}

vm_there() { [ -n "$(qemu_of "$1")" ]; }
vm_gone() { ! vm_there "$1"; }

# ---- a cell ----

tell_cell() { # tell_cell GUEST HOLD STOP RESULT WHY [COLD AGAIN]: its line
    printf '%s\t' "$hypervisor" "$arch" "$1" "$2" "$3" "$4" "${5:--}" "${6:-$no_phases}"
    printf '%s\n' "${7:-$no_phases}"
}

# Wakes the service and gets its page, into $dir/page; sets $took.
use() { # use SERVICE IP HOLD
    local began at=$2
    [[ $1 != image-* ]] || at=$2:$port
    forget_neighbours
    began=$(now_ms)
    [ "$3" != off ] || [ "$(ask "$1")" = "$2" ] || { because="no answer to the query"; return 1; }
    in_client curl -s --noproxy '*' -m "$patience" -o "$dir/page" "http://$at/" ||
        { because="no page"; return 1; }
    took=$(($(now_ms) - began))
}

is_page() { # is_page GUEST SERVICE BOOT: of that boot
    [ "$(field boots "$2")" = "$3" ] || { because="it is boot $(field boots "$2"), not $3"; return 1; }
    [ "$1" = image ] || [ "$(head -n 2 "$dir/page")" = "name $2"$'\n'"boot $3" ] ||
        { because="another page: $(head -n 2 "$dir/page" | tr '\n' ' ')"; return 1; }
}

phases() { # phases SERVICE: of its last wake, and the client's
    local mark value trace
    trace=$(ctl --json trace "$1" -n 1)
    for mark in $marks; do
        value=$(sed -n "s/.*\"t_${mark}_us\": *\([0-9]*\).*/\1/p" <<< "$trace")
        printf '%s\t' "${value:+$(awk -v us="$value" 'BEGIN { printf "%.1f", us / 1000 }')}" | sed 's/^\t/-\t/'
    done
    printf '%s' "$took"
}

stop() { # stop SERVICE STATE: and that is what it is then
    ctl stop "$1" > "$dir/stop" 2>&1 || { because="stop: $(tail -n 1 "$dir/stop")"; return 1; }
    wait_state "$1" "$2" || { because="after the stop it is $(state_of "$1")"; return 1; }
    if [ "$2" != suspended ]; then
        wait_until "$patience" vm_gone "$1" || { because="its VM is still there"; return 1; }
    else
        vm_there "$1" || { because="its VM is gone"; return 1; }
    fi
}

ready_to_wake() { [ "$2" = off ] || wait_until "$patience" is_held "$1" || { because="it is not held"; return 1; }; }

run_cell() { # run_cell GUEST SERVICE IP HOLD STOP: sets $cold, $again, $because
    local rest=off boot=2
    [ "$5" != suspend ] || { rest=suspended; boot=1; }
    [ "$5" != save ] || { rest=saved; boot=1; }
    ready_to_wake "$2" "$4" && use "$2" "$3" "$4" && is_page "$1" "$2" 1 || return 1
    cold=$(phases "$2")
    stop "$2" "$rest" && ready_to_wake "$2" "$4" && use "$2" "$3" "$4" && is_page "$1" "$2" "$boot" || return 1
    again=$(phases "$2")
    stop "$2" "$rest" && { [ "$rest" = off ] || stop "$2" off; }
}

cell() { # cell GUEST SERVICE IP HOLD STOP
    local result=pass
    because=''
    cold=$no_phases
    again=$no_phases
    if ! run_cell "$@"; then
        result=fail
        { echo "$hypervisor $arch $1 $4 $5: $because"; grep "service=$2" "$dir/log" | tail -n 12; } >&2
        ctl stop "$2" > /dev/null 2>&1
        ! is_state "$2" suspended && ! is_state "$2" saved || ctl stop "$2" > /dev/null 2>&1
    fi
    tell_cell "$1" "$4" "$5" "$result" "$because" "$cold" "$again"
}

# Every cell that there is to be, one to a line: GUEST SERVICE LAST-OCTET HOLD STOP.
list_cells() {
    local guest hold stop octet=10
    for guest in $(all_guests); do
        for hold in $holds; do
            for stop in $stops; do
                echo "$guest $guest-$hold-$stop $octet $hold $stop"
                octet=$((octet + 1))
            done
        done
    done
}

tell_all() { # tell_all RESULT WHY: of every cell
    local guest hold stop
    list_cells | while read -r guest _ _ hold stop; do tell_cell "$guest" "$hold" "$stop" "$1" "$2"; done
}

plan=() # the cells that can be tried: GUEST SERVICE IP HOLD STOP
services=()

plan_cells() { # those that cannot are skipped at once
    local guest service octet hold stop prepared=
    while read -r guest service octet hold stop; do
        [ "$guest" = "$prepared" ] || prepare_guest "$guest"
        prepared=$guest
        if [ -n "$because" ]; then
            tell_cell "$guest" "$hold" "$stop" skipped "$because"
        elif [ "$hypervisor-$arch-$stop" = libxl-aarch64-save ]; then
            tell_cell "$guest" "$hold" "$stop" skipped "Xen for arm64 cannot save"
        else
            # shellcheck disable=SC2046
            services+=("$(service "$service" "$octet" hold "\"$hold\"" stop "\"$stop\"" "${keys[@]}" \
                $(button_keys "$guest" "$stop"))")
            plan+=("$guest $service 10.77.0.$octet $hold $stop")
        fi
    done < <(list_cells)
}

# What could be tried only under KVM; the cells are what there is without it.
tell_kvm() {
    [ "$hypervisor" != libxl ] && [ "$arch" = "$(uname -m)" ] || return 0
    ctl status | grep -q 'KVM works' ||
        tell_cell "under KVM" - - skipped "KVM runs no guest here: these were emulated"
}

run_cells() {
    local planned guest service ip hold stop why=
    plan_cells
    [ ${#plan[@]} -gt 0 ] || return 0
    configure "${services[@]}"
    start_jitsud || why="jitsud does not start"
    [ -n "$why" ] || tell_kvm
    for planned in "${plan[@]}"; do
        read -r guest service ip hold stop <<< "$planned"
        if [ -n "$why" ]; then
            tell_cell "$guest" "$hold" "$stop" fail "$why"
        else
            cell "$guest" "$service" "$ip" "$hold" "$stop"
        fi
    done
}

missing() { # what keeps this hypervisor from being tried
    case $hypervisor-$arch in
    libvirtd-*) command -v libvirtd > /dev/null || echo "libvirtd is not installed" ;;
    libxl-*) [ -x "$BUILD/jitsu-libxl" ] || echo "jitsu-libxl is not built (libxen-dev)" ;;
    esac
    [ "$hypervisor" = libxl ] || [ "$arch" != aarch64 ] || command -v qemu-system-aarch64 > /dev/null ||
        echo "qemu-system-aarch64 is not installed"
}

if [ -n "${INSTEAD:-}" ]; then
    tell_all "$INSTEAD" "${WHY:-}"
    exit 0
fi
why=$(missing | head -n 1)
if [ -n "$why" ]; then
    tell_all skipped "$why"
    exit 0
fi
trap clean_up EXIT
trap 'exit 1' INT TERM
make_dir && make_networks || exit 1
prepare_hypervisor || exit 1
run_cells

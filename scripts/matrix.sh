#!/bin/bash
# matrix.sh: the boot matrix: hypervisor x architecture x guest x hold x stop.  Each cell is a service that a real
# client wakes twice (tests/matrix/cells.sh): through libvirt here, through libxl in nested Xen (tests/xen), where one
# boot does for all cells of an architecture.  Writes BUILD/matrix.md and BUILD/matrix.json.
#
#     HYPERVISORS="embed libvirtd libxl" ARCHES="x86_64 aarch64"   what of it
#     GUESTS, HOLDS, STOPS, IMAGE, CMDLINE, INITRD, MEMORY, PORT   as in cells.sh; an IMAGE is of one architecture
#     XEN_IMAGE=FILE                                               libxl's IMAGE, where it takes another
#     CPU=qemu64,+npt                                              of the x86-64 machine that nested Xen is in
#     NESTED_LIMIT=2400                                            seconds that a nested machine may take
#
# Exit status 0 when no cell failed.  Needs root.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
mkdir -p "$BUILD" && BUILD=$(cd "$BUILD" && pwd) || exit 1
export BUILD
hypervisors=${HYPERVISORS:-embed libvirtd libxl}
arches=${ARCHES:-x86_64 aarch64}
cells=$BUILD/matrix.cells
cells_of=tests/matrix/cells.sh
[ "$(id -u)" = 0 ] || { echo "the matrix needs root: it makes network namespaces" >&2; exit 1; }
for file in "${IMAGE:-}" "${XEN_IMAGE:-}" "${INITRD:-}"; do
    [ -z "$file" ] || [ -r "$file" ] || { echo "there is no file $file" >&2; exit 1; }
done

# An arm64 Image says so; all else is taken for x86-64's.
arch_of_image() {
    if [ "$(od -An -c -j 56 -N 3 "$IMAGE" | tr -d ' ')" = ARM ]; then echo aarch64; else echo x86_64; fi
}

# Without IMAGE where it is of another architecture.
with_image_of() { # with_image_of ARCH COMMAND...
    local arch=$1
    shift
    if [ -n "${IMAGE:-}" ] && [ "$(arch_of_image)" != "$arch" ]; then IMAGE='' "$@"; else "$@"; fi
}

# What dom0 runs; files of the outer host come with the run's directory.
write_script() { # write_script ARCH RUN
    local variable
    for variable in IMAGE INITRD; do
        [ -n "${!variable:-}" ] || continue
        cp "${!variable}" "$2/$variable" && printf 'export %s=/host/run/%s\n' "$variable" "$variable"
    done
    for variable in GUESTS HOLDS STOPS CMDLINE MEMORY PORT; do
        [ -z "${!variable:-}" ] || printf 'export %s=%q\n' "$variable" "${!variable}"
    done
    printf 'exec /host/source/%s libxl %q\n' "$cells_of" "$1"
}

# What makes run.sh's machine one of that architecture.  Its dom0 keeps in memory what is saved of guests.
machine_of() { # machine_of ARCH
    case $1 in
    x86_64) printf '%s\n' "CPU=${CPU:-qemu64,+npt}" MEMORY=2560 DOM0=1280 ;;
    aarch64) echo 'ARCH=arm64' ;;
    esac
}

nested() { # nested ARCH: all of libxl's cells
    local run status why result=fail programs=$BUILD machine
    [ "$1" = x86_64 ] || programs=$BUILD-arm64
    if [ ! -x "$programs/jitsu-libxl" ]; then
        INSTEAD=skipped WHY="jitsu-libxl is not built for this architecture" $cells_of libxl "$1"
        return
    fi
    run=$(mktemp -d "$BUILD/matrix-XXXXXX")
    write_script "$1" "$run" > "$run/cells"
    mapfile -t machine < <(machine_of "$1")
    env -u CPU -u MEMORY RUN="$run" "${machine[@]}" tests/xen/run.sh "$BUILD" "$run/cells" \
        "${NESTED_LIMIT:-2400}" > "$run/said" 2>&1
    status=$?
    grep -P '^libxl\t' "$run/said" | tee "$run/told"
    grep -vP '^libxl\t' "$run/said" >&2
    [ $status != 77 ] || result=skipped
    why="nested Xen: $(grep -vP '^libxl\t' "$run/said" | tail -n 1 | tr -d '\t')"
    [ $status = 0 ] || INSTEAD=$result WHY=$why $cells_of libxl "$1" |
        grep -vFf <(cut -f 1-5 "$run/told" | sed 's/$/\t/')
    rm -rf "$run"
}

run_all() {
    local hypervisor arch
    for hypervisor in $hypervisors; do
        for arch in $arches; do
            case $hypervisor in
            libxl) IMAGE=${XEN_IMAGE:-${IMAGE:-}} with_image_of "$arch" nested "$arch" ;;
            *) with_image_of "$arch" $cells_of "$hypervisor" "$arch" ;;
            esac
        done
    done
}

about() {
    local linux
    linux=$(uname -r)
    printf '%s, %s CPUs, Linux %s, in %s min.\n' "$(date -u +%F)" "$(nproc)" "${linux%%-*}" $(((SECONDS + 59) / 60))
    echo "QEMU runs guests under KVM where that works, else emulated; Xen runs in an emulated machine."
    [ -n "${IMAGE:-}" ] || return
    echo "The image is \`$IMAGE\`${XEN_IMAGE:+, on Xen \`$XEN_IMAGE\`}."
    [ -z "${CMDLINE:-}" ] || echo "Its arguments are \`$CMDLINE\`."
}

run_all | tee "$cells"
for form in md json; do
    awk -v form=$form -v about="$(about)" -f tests/matrix/report.awk "$cells" > "$BUILD/matrix.$form"
done
echo "the matrix is in $BUILD/matrix.md and $BUILD/matrix.json:" \
    "$(sed -n 's/^\([0-9]* cells: .*\)/\1/p' "$BUILD/matrix.md")"
! grep -qP '^(\S+\t){2}[^\t]*\t\S+\t\S+\tfail\t' "$cells"

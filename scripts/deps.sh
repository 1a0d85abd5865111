#!/bin/sh
# deps.sh [--missing|--libraries]: installs the Debian packages that building, testing and running jitsu
# needs, and makes its users and groups.  --missing: does it only if something is missing, and
# says nothing if nothing is.  --libraries: only names the libraries that programs and tests are built with.
set -eu

# to build
build='gcc make pkg-config libc6-dev linux-libc-dev libevent-dev libldns-dev libjsmn-dev libvirt-dev libxen-dev
libseccomp-dev libcap-ng-dev libmnl-dev libbpf-dev libssl-dev libsqlite3-dev libcurl4-openssl-dev zlib1g-dev clang'
# to run: the embedded QEMU driver, no daemon, no systemd
run='libvirt0 libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils iproute2'
# to test and show
test='libcmocka-dev libclang-rt-14-dev libvirt-clients curl bind9-dnsutils nsd knot ethtool iputils-ping cpio lz4 xz-utils procps
util-linux mandoc tmux'
# what some tests do without
optional='kmod qemu-system-arm qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross clang-tidy cppcheck nftables
debhelper dpkg-dev lintian zsh'

users='jitsu-dns jitsu-net jitsu-ctl jitsu-hooks libvirt-qemu'
groups='jitsu jitsu-admin kvm'

installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

missing_of() {
    for package in "$@"; do
        installed "$package" || printf '%s ' "$package"
    done
}

missing_accounts() {
    for user in $users; do getent passwd "$user" >/dev/null || printf '%s ' "$user"; done
    for group in $groups; do getent group "$group" >/dev/null || printf '%s ' "$group"; done
}

# The fuzzers' runtime belongs to a compiler, and to its architecture.
libraries() {
    # shellcheck disable=SC2086
    printf '%s\n' $build $test | grep -e '-dev$' | grep -v '^libclang-rt-'
}

need_root() {
    [ "$(id -u)" = 0 ] && return 0
    echo "deps.sh: $*: run \"make deps\" as root" >&2
    exit 1
}

# A package may start its daemon, now and at each boot; what the tests need must not (nsd, knot: port 53).
without_daemons() { # without_daemons COMMAND...
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    status=0
    "$@" || status=$?
    rm -f "$policy"
    return "$status"
}

install_packages() {
    need_root "packages are missing ($*)"
    without_daemons install_now "$@"
    command -v systemctl >/dev/null || return 0
    for daemon in nsd knot; do
        case " $* " in *" $daemon "*) systemctl disable "$daemon" >/dev/null 2>&1 || true ;; esac
    done
}

install_now() {
    echo "installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -mmin -1440 -print -quit 2>/dev/null)" ] || apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null || {
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    }
}

make_accounts() {
    need_root "users or groups are missing"
    for group in $groups; do
        getent group "$group" >/dev/null || groupadd --system "$group"
    done
    for user in $users; do
        getent passwd "$user" >/dev/null && continue
        echo "making the user $user"
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
    done
}

# QEMU may use KVM only if its user may open /dev/kvm.
may_use_kvm() { id -nG libvirt-qemu 2>/dev/null | tr ' ' '\n' | grep -qx kvm; }

if [ "${1:-}" = --libraries ]; then
    libraries
    exit
fi

# shellcheck disable=SC2086
wanted=$(missing_of $build $run $test)
# shellcheck disable=SC2086
extra=$(missing_of $optional)
accounts=$(missing_accounts)
[ "${1:-}" = --missing ] && [ -z "$wanted$extra$accounts" ] && may_use_kvm && exit 0

# shellcheck disable=SC2086
[ -z "$wanted" ] || install_packages $wanted
# shellcheck disable=SC2086
[ -z "$extra" ] || install_packages $extra || echo "deps.sh: going on without: $extra" >&2
[ -z "$accounts" ] || make_accounts
may_use_kvm || { need_root "libvirt-qemu is not in group kvm" && usermod --append --groups kvm libvirt-qemu; }

#!/bin/bash
# The unit, the completions and the Debian packages: as they are installed, in a root of their own.
# Building the packages takes most of a minute: LONG=1.
. "$(dirname "$0")/lib.sh"

installed() { # what `make install` installs, below $dir/installed
    make -s -C "$top" BUILD="$BUILD" DESTDIR="$dir/installed" PREFIX="${1:-/usr}" install > "$dir/out" 2>&1 || fail "$(cat "$dir/out")"
}

# ---- the unit ----

test_unit() {
    installed || return 1
    local unit=$dir/installed/usr/lib/systemd/system/jitsud.service
    grep -q '^ExecStart=/usr/sbin/jitsud ' "$unit" || fail "no path in it: $(grep ExecStart "$unit")" || return 1
    # What keeps VMs through restarts, and what would end them or hide them from the next daemon.
    for line in Type=notify KillMode=process OOMPolicy=continue RuntimeDirectoryPreserve=yes; do
        grep -qx "$line" "$unit" || fail "no $line" || return 1
    done
    ! grep -E '^(Private|Protect|MemoryDeny|NoNewPriv|DynamicUser|ReadOnly|Inaccessible|BindPaths|RootDir)' "$unit" ||
        fail "that does not go with VMs that outlive it" || return 1
    command -v systemd-analyze > /dev/null || skip "systemd-analyze is not installed"
    sed -i "s|^ExecStart=/usr|ExecStart=$dir/installed/usr|; /^Documentation/d" "$unit"
    systemd-analyze verify "$unit" > "$dir/out" 2>&1 && [ ! -s "$dir/out" ] || fail "$(cat "$dir/out")"
}

# The processes as they are answer the supervisor, and one that hangs is replaced.
test_watchdog() {
    configure "$(service www 20)"
    export WATCHDOG_USEC=4000000
    start_jitsud && wait_connected || return 1
    local pids synproxy
    pids=$(cat "$dir"/run/pids/*)
    sleep 3.5
    [ "$(cat "$dir"/run/pids/*)" = "$pids" ] || fail "some process was replaced" || return 1
    synproxy=$(process_pid synproxy)
    kill -STOP "$synproxy"
    wait_until "$patience" eval '[ -n "$(process_pid synproxy)" ] && [ "$(process_pid synproxy)" != '"$synproxy"' ]' ||
        fail "it hangs" || return 1
    grep -q 'synproxy has not answered for' "$dir/log" || fail "nothing was said" || return 1
    summon www | grep -q '^name www' || fail "no page"
}

# ---- completion ----

# bash_offers LINE: what bash would offer at its end
bash_offers() {
    bash --norc -c '
        PATH=$1:$PATH
        . "$2"
        COMP_LINE=$3 COMP_POINT=${#3} COMP_TYPE=9
        # as readline breaks it
        read -ra COMP_WORDS <<< "$(sed "s/[=:]/ & /g" <<< "$3")"
        [[ $3 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _jitsuctl
        [[ ${#COMPREPLY[@]} = 0 ]] || printf "%s\n" "${COMPREPLY[@]}"
    ' bash "$BUILD" "$top/completions/jitsuctl.bash" "$1" 2>&1 | sort | tr '\n' ' '
}

offers() { # offers LINE EXPECTED-WORDS
    local words; words=$(bash_offers "$1")
    [ "$words" = "$2${2:+ }" ] || fail "\"$1\": expected \"$2\", got \"$words\""
}

test_bash_completion() {
    configure "$(service www 20)" "$(service web 21)" "$(service db 22)"
    cd "$dir" || return 1
    touch a-file.json
    export JITSU_SOCKET=$dir/run/control.sock
    # nobody there: nothing is offered, and nothing said
    offers 'jitsuctl show ' '' || return 1
    offers 'jitsuctl rel' 'release reload' || return 1
    start_jitsud && wait_connected || return 1
    offers 'jitsuctl show ' 'db web www' || return 1
    offers 'jitsuctl show w' 'web www' || return 1
    offers 'jitsuctl --json show d' 'db' || return 1
    JITSU_SOCKET=/nowhere offers "jitsuctl -S $JITSU_SOCKET why d" 'db' || return 1
    offers 'jitsuctl pin www ' 'down up' || return 1
    offers 'jitsuctl set www hold=p' 'park' || return 1
    offers 'jitsuctl set www hold=' 'off park splice' || return 1
    offers 'jitsuctl set www idle' 'idle-timeout=' || return 1
    offers 'jitsuctl add new --idle' '--idle-timeout' || return 1
    offers 'jitsuctl import a-' 'a-file.json' || return 1
    offers 'jitsuctl list ' '' || return 1
    # a jitsud that hangs: the shell waits two seconds, and goes on
    kill -STOP "$(process_pid control)"
    local began; began=$(now_ms)
    offers 'jitsuctl show ' '' || return 1
    [ $(( $(now_ms) - began )) -lt 20000 ] || fail "it waits for ever" || return 1
    kill -CONT "$(process_pid control)"
}

test_zsh_completion() {
    command -v zsh > /dev/null || skip "zsh is not installed"
    configure "$(service www 20)" "$(service web 21)" "$(service db 22)"
    start_jitsud && wait_connected || return 1
    export JITSU_SOCKET=$dir/run/control.sock
    mkdir "$dir/zsh" && cp "$top/completions/jitsuctl.zsh" "$dir/zsh/_jitsuctl"
    cat > "$dir/drive.zsh" <<'END'
zmodload zsh/zpty
# types the line and a tab, and then tabs until the words that are expected stand there
zpty -b z zsh -f -i
zpty -w z "PS1=; TERM=dumb; PATH=$1:\$PATH; fpath=($2/zsh \$fpath); autoload -Uz compinit; LISTMAX=1000"
zpty -w z "compinit -u -d $2/dump; stty columns 200; echo SET''UP"
zpty -r z out '*SETUP*'
zpty -w -n z "$3"
for i in {1..40}; do
    zpty -w -n z $'\t'
    sleep 0.25
    while zpty -r -t z out; do all+=$out; done
    for word in ${@:4}; do [[ $all == *$word* ]] || continue 2; done
    print found
    break
done
print -r -- $all
zpty -d z
END
    zsh_offers 'jitsuctl show w' www web && zsh_offers 'jitsuctl sho' 'jitsuctl show' && zsh_offers 'jitsuctl set www hold=' park splice
}

zsh_offers() { # zsh_offers LINE WORD...
    local said; said=$(cd "$dir" && zsh -f drive.zsh "$BUILD" "$dir" "$@" 2>&1)
    grep -qx found <<< "$said" || fail "$1: $said"
}

# ---- the packages ----

# A fresh root: this machine's, as far as jitsu is not concerned, with everything that is written going to
# memory; with mounts and processes of its own.
start_root() {
    mkdir "$dir/root"
    cat > "$dir/root.sh" <<END
set -e
mount -t tmpfs none "$dir/root"
cd "$dir/root"
mkdir upper work all
mount -t overlay overlay -o lowerdir=/,upperdir=$dir/root/upper,workdir=$dir/root/work all
mount -t proc proc all/proc
mount --rbind /dev all/dev
mount --rbind /sys all/sys
mount -t tmpfs -o mode=755 none all/run
mount -t tmpfs -o mode=1777 none all/tmp
cd all
mkdir -p tmp/old
pivot_root . tmp/old
umount -l tmp/old
touch /run/here
trap : CHLD
while :; do sleep 3600 & wait; done
END
    unshare --mount --propagation private --pid --fork --kill-child bash "$dir/root.sh" > "$dir/root.log" 2>&1 &
    local outer=$!
    wait_until 10 pgrep -P "$outer" || fail "no root" || return 1
    root_pid=$(pgrep -P "$outer")
    extra_pids+=" $root_pid $outer"
    trap 'kill -9 $root_pid; clean_up' EXIT
    wait_until 10 in_root test -e /run/here || skip "no root of its own can be had here: $(cat "$dir/root.log")"
    in_root bash -c '
        for user in jitsu-dns jitsu-net jitsu-ctl libvirt-qemu; do userdel -f "$user"; groupdel "$user"; done
        for group in jitsu jitsu-admin; do groupdel "$group"; done
        rm -rf /etc/jitsu /var/lib/jitsu /usr/sbin/policy-rc.d' > /dev/null 2>&1
    ! in_root getent passwd jitsu-dns libvirt-qemu > /dev/null || fail "the users are still there"
}

in_root() {
    nsenter --target "$root_pid" --mount --pid --net="/run/netns/$host" -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# In the place of systemd, which is not there: does what the unit says, as far as it matters here, to what the
# packages' scripts ask for.
stand_in_for_systemd() {
    in_root mkdir -p /run/systemd/system
    in_root tee /usr/bin/deb-systemd-invoke > /dev/null <<'END'
#!/bin/bash
unit=/lib/systemd/system/jitsud.service
says() { sed -n "s/^$1=//p" "$unit"; }
pid=$(cat /run/jitsud.pid 2> /dev/null)
alive() { [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null; }
stop() { kill "$pid"; while alive; do sleep 0.05; done; }
start() {
    [ -e "$(says ConditionPathExists)" ] || return 0
    caps=$(says CapabilityBoundingSet | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
    setsid setpriv --bounding-set "-all,$caps" $(says ExecStart) >> /var/log/jitsud.log 2>&1 < /dev/null &
    echo $! > /run/jitsud.pid
}
echo "$*" >> /var/log/invoked
case $1 in
start) alive || start ;;
stop) alive && stop ;;
restart) alive && stop; start ;;
try-restart) alive && { stop; start; } ;;
esac
exit 0
END
    in_root chmod 755 /usr/bin/deb-systemd-invoke
}

# build_packages VERSION: into $dir/packages/VERSION, without any network
build_packages() {
    local src=$dir/src to=$dir/packages/$1 again=
    if [ ! -d "$src" ]; then
        mkdir "$src"
        tar -C "$top" --exclude=./.git --exclude='./build*' -cf - . | tar -C "$src" -xf -
    else
        sed -i "s/JITSU_VERSION \".*\"/JITSU_VERSION \"$1\"/" "$src/base/version.h"
        again=-nc # only what has changed
        { sed "1s/(.*)/($1)/" "$top/debian/changelog"; cat "$top/debian/changelog"; } > "$src/debian/changelog"
    fi
    (cd "$src" && unshare --net dpkg-buildpackage -b $again -us -uc -Pnocheck) > "$dir/build.log" 2>&1 ||
        { tail -20 "$dir/build.log"; fail "the package $1 is not built"; } || return 1
    mkdir -p "$to" && mv "$dir"/*.deb "$dir"/*.changes "$dir"/*.buildinfo "$to"
}

install_packages() { # install_packages VERSION: the output is in $dir/out
    (cd "$dir/packages/$1" && tar -cf - jitsu_*.deb jitsu-libvirt_*.deb) | in_root tar -C /root -xf -
    in_root bash -c "dpkg -i /root/jitsu_$1_*.deb /root/jitsu-libvirt_$1_*.deb" > "$dir/out" 2>&1
}

# The commands of README.md, for this network.
readme_command() { sed -n "/^$1/,/[^\\\\]\$/p" "$top/README.md" | sed '/[^\\]$/q' | sed 's/192\.168\.1\./10.77.0./g'; }

daemon_answers() { in_root jitsuctl --json status 2> /dev/null | grep -q ': connected'; }
daemon_pid() { in_root cat /run/jitsud.pid; }
vm_pids() { in_root pgrep -f 'guest=jitsu-'; }

test_package() {
    [ -n "${LONG:-}" ] || skip "takes minutes: LONG=1"
    command -v dpkg-buildpackage > /dev/null && command -v dh > /dev/null || skip "debhelper or dpkg-dev is not installed"
    local version; version=$(dpkg-parsechangelog -l "$top/debian/changelog" -S Version)
    [ "$("$BUILD/jitsud" --version)" = "jitsud $version" ] || fail "debian/changelog has another version" || return 1
    build_packages "$version" || return 1
    if command -v lintian > /dev/null; then
        lintian --allow-root --fail-on error "$dir/packages/$version"/*.changes > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    fi
    ! dpkg-deb -f "$dir/packages/$version"/jitsu_*.deb Depends | grep -q libvirt || fail "jitsu needs libvirt" || return 1

    # Installed: users are there, nothing is started before there is a configuration.
    start_root && stand_in_for_systemd || return 1
    install_packages "$version" || fail "not installed: $(cat "$dir/out")" || return 1
    in_root getent passwd jitsu-dns jitsu-net jitsu-ctl libvirt-qemu > "$dir/users"
    [ "$(wc -l < "$dir/users")" = 4 ] || fail "users: $(cat "$dir/users")" || return 1
    in_root getent group jitsu jitsu-admin > /dev/null || fail "no groups" || return 1
    in_root id -nG libvirt-qemu | grep -qw kvm || fail "QEMU's user may not use KVM" || return 1
    ! in_root test -e /run/jitsud.pid || fail "started without a configuration" || return 1
    grep -q 'jitsud.json.example is a start' "$dir/out" || fail "nobody is told what to do: $(cat "$dir/out")" || return 1

    # Configured as README.md says, and started.
    in_root bash -c 'sed "s/0.0.0.0:53\", \"\[::\]:53/10.77.0.1:53/; s/192\.168\.1\.250/10.77.0.250/; s/192\.168\.1\.20/10.77.0.19/
        s/\"www\"/\"file\"/; s/www.jitsu/file.jitsu/" /etc/jitsu/jitsud.json.example > /etc/jitsu/jitsud.json
        deb-systemd-invoke start jitsud.service'
    in_root install -m 644 /dev/stdin /var/lib/jitsu/images/www.elf < "$guests/www.elf"
    wait_until 90 daemon_answers || fail "it does not start: $(in_root tail /var/log/jitsud.log)" || return 1
    in_root bash -c "$(readme_command 'jitsuctl add www')" > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    in_root jitsuctl add shell --dns shell.jitsu.example --ip 10.77.0.22/24 --ports 22 --memory 16MiB \
        --kernel /var/lib/jitsu/images/www.elf --cmdline 'ip={ip}/{prefix} name={name} banner=1' > "$dir/out" 2>&1 ||
        fail "$(cat "$dir/out")" || return 1
    summon www | grep -q '^name www' || fail "no page: $(in_root jitsuctl why www)" || return 1
    session_begin 10.77.0.22 22
    [ "$(session_hear)" = 'name shell ready' ] || fail "no greeting: $(in_root jitsuctl why shell)" || return 1

    # Upgraded: another daemon, the same VMs, the client's connection goes on.
    local vms daemon; vms=$(vm_pids); daemon=$(daemon_pid)
    [ "$(wc -w <<< "$vms")" = 2 ] || fail "VMs: $vms" || return 1
    build_packages "$version.1" && install_packages "$version.1" || fail "not upgraded: $(cat "$dir/out")" || return 1
    [ "$(daemon_pid)" != "$daemon" ] || fail "the old daemon runs on: $(cat "$dir/out")" || return 1
    wait_until 90 daemon_answers || fail "it does not start again: $(in_root tail /var/log/jitsud.log)" || return 1
    in_root grep -q "version $version.1," /var/log/jitsud.log || fail "that is not the new one" || return 1
    session_say hello && [ "$(session_hear)" = hello ] || fail "the client's connection is dead" || return 1
    [ "$(vm_pids)" = "$vms" ] || fail "other VMs: $(vm_pids) after $vms" || return 1
    wait_until "$patience" eval 'in_root jitsuctl --json show shell | grep -q "\"state\":\"\(up\|adopted\)\""' ||
        fail "it is not known again: $(in_root jitsuctl show shell)" || return 1

    # A configuration with a mistake: the daemon that runs is left alone, and so it is told.
    daemon=$(daemon_pid)
    in_root sed -i '1s/^/{"nonsense": 1,/; 1s/{$//' /etc/jitsu/jitsud.json
    install_packages "$version.1" || fail "a bad configuration fails the package: $(cat "$dir/out")" || return 1
    grep -q 'jitsud.json has mistakes' "$dir/out" && grep -q nonsense "$dir/out" || fail "nobody is told: $(cat "$dir/out")" || return 1
    [ "$(daemon_pid)" = "$daemon" ] && daemon_answers || fail "the daemon was ended over it" || return 1

    # Removed: the daemon ends, VMs do not.  Purged: what it had written is gone.
    in_root dpkg --purge jitsu-libvirt jitsu > "$dir/out" 2>&1 || fail "not purged: $(cat "$dir/out")" || return 1
    ! in_root kill -0 "$daemon" 2> /dev/null || fail "the daemon still runs" || return 1
    [ "$(vm_pids)" = "$vms" ] || fail "VMs ended with the package" || return 1
    ! in_root test -e /var/lib/jitsu/registry.db && in_root test -e /var/lib/jitsu/images/www.elf || fail "not what should be purged"
}

run_tests "$@"

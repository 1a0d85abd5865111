#!/bin/bash
# Every command of jitsuctl, used wrongly in every way that there is: a sentence, exit status 1 or 2, and nothing has
# changed.  The commands are those that jitsuctl itself tells; one without a row here fails.
. "$(dirname "$0")/lib.sh"

# A right use of each, as far as words go.  @ stands for $dir.
declare -A right=(
    [list]='' [show]=www [start]=www [stop]=www [why]=www [trace]=www [flows]=www [console]=www [log]='' [watch]='-n 1 www'
    [top]='' [zones]='' [stats]='' [status]='' [reload]='' [dnssec]='status jitsu.example'
    [import-jitsu]='dns=old.jitsu.example,ip=10.77.0.90,kernel=@/images/www.elf,name=old,memory=64000'
    [doctor]=@/jitsud.json [help]=list [add]='-f @/new.json' [set]='www ttl=9s' [remove]=www [rename]='www other'
    [enable]=www [disable]=www [pin]='www down' [lease]='www 2h' [release]=www [history]=www [diff]=1 [rollback]=0 [export]=''
    [import]=@/import.json [adopt]=some-domain
)

# These ask jitsud nothing.
asks_nobody=' doctor help '
# These are the administrators' alone.
for_admins=' start stop reload add set remove rename enable disable pin lease release rollback import import-jitsu adopt '

# What else can be wrong with each: "WORDS OF THE SENTENCE;ARGUMENTS".  Everywhere: an unknown option, one argument too
# many, nobody who answers, no permission.
wrong() {
    case $1 in
    show|start|stop|why|trace|flows|console|remove|enable|disable|release)
        echo 'there is no service;nobody'
        echo 'there is no service;wwww'
        [ "$1" = remove ] || echo "no service has a name;$(printf 'a%.0s' {1..80})"
        ;;&
    show|start|stop|why|console) echo 'needs the name of a service;' ;;
    remove|enable|disable|release|rename|pin|lease|set) echo "$1;" ;;&
    watch) echo 'there is no service;nobody' ;;&
    trace|flows|watch|log)
        for n in 0 -1 x 1001 99999999999999999999 1.5; do echo "-n: expected 1..1000;-n $n"; done ;;
    list|top|zones|stats|status|reload|export) echo "$1 takes;www"; echo "$1 takes no -n;-n 3" ;;
    dnssec)
        echo 'an action;'; echo 'did you mean;stauts'; echo 'zone;ds'; echo 'there is no zone;ds no.example'
        echo 'there is no zone;enable no.example'; echo 'algorithm;enable jitsu.example --algorithm rsa'
        echo 'ds-ttl;ds-seen jitsu.example --ds-ttl x'; echo 'is not signed;roll jitsu.example'
        echo 'is not signed;disable jitsu.example' ;;
    import-jitsu)
        echo 'dns;'; echo 'ip;dns=a.jitsu.example,ip=nowhere,kernel=/k'
        echo 'there is no such key;nonsense=1' ;;
    doctor) echo 'problem\|cannot\|missing\|no such\|No such;@/nothing.json' ;;
    help) echo 'there is no command;nonsense' ;;
    add)
        echo 'add;'; echo 'needs a value;x --dns'; echo 'dns;x --ip 10.77.0.90/24 --kernel @/images/www.elf'
        echo 'did you mean;x --memroy 5'
        echo 'machine.memory;x --dns x.jitsu.example --ip 10.77.0.90/24 --kernel @/images/www.elf --memory lots'
        echo 'image_dirs;x --dns x.jitsu.example --ip 10.77.0.90/24 --kernel /etc/passwd'
        echo 'ip;x --dns x.jitsu.example --ip 10.77.0.999/24 --kernel @/images/www.elf'
        echo 'used already;x --dns www.jitsu.example --ip 10.77.0.90/24 --kernel @/images/www.elf'
        echo 'used already;x --dns x.jitsu.example --ip 10.77.0.21/24 --kernel @/images/www.elf'
        echo 'zone;x --dns x.elsewhere.example --ip 10.77.0.90/24 --kernel @/images/www.elf'
        echo 'name;X_x --dns x.jitsu.example --ip 10.77.0.90/24 --kernel @/images/www.elf'
        echo 'already;www --dns x.jitsu.example --ip 10.77.0.90/24 --kernel @/images/www.elf'
        echo 'cannot read;-f @/nothing.json'; echo 'text.json;-f @/text.json' ;;
    set)
        echo 'there is no service;nobody ttl=1s'; echo 'ttl: expected;www ttl=abc'
        echo 'ttl: expected;www ttl=-1'
        echo 'did you mean;www ttll=1s'; echo 'nothing is said;www'; echo 'expected KEY=VALUE;www ttl'
        echo 'is in the configuration file;file ttl=1s'
        echo 'ports;www ports=0'; echo 'ports;www ports=65536'; echo 'cannot read;www -f @/nothing.json' ;;
    rename)
        echo 'rename;www'; echo 'there is no service;nobody other'; echo 'already;www file'
        echo 'name;www no_good'
        echo 'is in the configuration file;file other' ;;
    pin) echo 'pin;www'; echo 'up;www sideways'; echo 'there is no service;nobody up' ;;
    lease)
        echo 'lease;www'; echo 'time;www soon'; echo 'time;www 99999999999999999999h'
        echo 'there is no service;nobody 2h' ;;
    history) echo '-n: expected;-n 0'; echo '-n: expected;-n many' ;;
    diff)
        echo 'diff;'; echo 'revision;x'; echo 'there is no revision;99'
        echo 'revision;99999999999999999999' ;;
    rollback) echo 'rollback;'; echo 'revision;x'; echo 'there is no revision;99' ;;
    adopt)
        echo 'adopt;'; echo 'no such domain\|is not connected\|still being asked;nothing-there'
        echo 'there is no hypervisor;x --hypervisor mars'
        echo 'needs a value;x --dns'; echo 'did you mean;x --hld off'; echo 'adopt takes no --exact;x --exact' ;;
    import)
        echo 'import;'; echo 'nothing.json;@/nothing.json'; echo 'text.json;@/text.json'; echo 'ip;@/bad.json'
        echo 'is in the configuration file;@/both.json --exact' ;;
    esac
}

# What a wrong use must not change.
everything() {
    ctl export
    ctl history | cut -c1-40
    ctl --json list | grep -o '"\(name\|state\|origin\)":"[^"]*"'
}

# is_refused WORDS ctl|as ARGUMENTS...: status 1 or 2, a sentence that begins as ours do and has these words.  $bad
# counts those that are not; all are told.
is_refused() {
    local words=$1 status
    case $2 in
    ctl) set -- "$BUILD/jitsuctl" -S "$dir/run/control.sock" "${@:3}" ;;
    as) set -- setpriv --reuid "$3" --regid "$4" --clear-groups "$BUILD/jitsuctl" -S "$dir/run/control.sock" "${@:5}" ;;
    *) shift ;;
    esac
    timeout 20 "$@" > "$dir/said" 2> "$dir/complained" < /dev/null
    status=$?
    case $status in
    1|2) ;;
    *) is_bad "status $status" "$@"; return ;;
    esac
    case " $* " in
    *" doctor "*) ;;
    *) grep -q '^jitsuctl: .' "$dir/complained" || is_bad 'no sentence' "$@" ;;
    esac
    grep -qi -e "$words" "$dir/complained" "$dir/said" || is_bad "not a word of \"$words\"" "$@"
    ! grep -q '(null)\|Success\|errno' "$dir/complained" || is_bad 'no words for people' "$@"
}

is_bad() { # is_bad WHAT COMMAND...
    local what=$1
    shift 4
    bad=$((bad + 1))
    echo "# $what: $*: $(head -c 300 "$dir/complained" "$dir/said")"
}

all_commands() { "$BUILD/jitsuctl" --complete "" | cut -f1; }
words_of() { echo "${1//@/$dir}"; }

begin() {
    bad=0
    configure "$(service file 20)"
    start_jitsud || return 1
    record() { echo "{\"name\": \"$1\", \"dns\": [\"$1.jitsu.example\"], \"ip\": [\"10.77.0.$2/24\"], \"ports\": [80], \"machine\": {\"kernel\": \"$dir/images/www.elf\"}}"; }
    record www 21 > "$dir/www.json"
    record new 30 > "$dir/new.json"
    echo "{\"services\": [$(record new 31)]}" > "$dir/import.json"
    echo "{\"services\": [$(record good 32), $(record bad 999)]}" > "$dir/bad.json"
    echo "{\"services\": [$(record file 33)]}" > "$dir/both.json"
    echo 'this is no JSON' > "$dir/text.json"
    ctl add -f "$dir/www.json" > /dev/null
}

test_wrong_words() {
    begin || return 1
    local command line args
    everything > "$dir/before"
    for command in $(all_commands); do
        [ -n "${right[$command]+there}" ] || fail "\"$command\" has no row in $0" || return 1
        if [ "$command" != import-jitsu ]; then # whose options are the first jitsu's
            # shellcheck disable=SC2046 # words
            is_refused 'there is no option' ctl "$command" $(words_of "${right[$command]}") --nonsense
            is_refused "$command\|expected KEY" ctl "$command" a b c=d
        fi
        while IFS=';' read -r line args; do
            # shellcheck disable=SC2046
            is_refused "$line" ctl "$command" $(words_of "$args")
        done < <(wrong "$command")
        everything | cmp - "$dir/before" || fail "$command, used wrongly, has changed something: $(everything | diff - "$dir/before")" ||
            return 1
    done
    is_refused 'did you mean' ctl lsit
    [ -z "$(our_qemus)" ] || fail "something was woken" || return 1
    [ "$bad" = 0 ]
}

# Nobody is there, or the socket is not one: what to do about it is said.
test_nobody_answers() {
    begin || return 1
    local command
    stop_jitsud
    for command in $(all_commands); do
        [[ $asks_nobody != *" $command "* ]] || continue
        # shellcheck disable=SC2086,SC2046
        is_refused 'jitsud' ctl "$command" $(words_of "${right[$command]}")
    done
    is_refused 'nowhere' env JITSU_SOCKET=/nowhere/at-all "$BUILD/jitsuctl" list
    [ "$bad" = 0 ]
}

# Who is in neither group may not even look; who is in `jitsu` may do nothing.
test_no_permission() {
    begin || return 1
    local command group
    everything > "$dir/before"
    group=$(getent group jitsu | cut -d: -f3)
    chmod 755 "$dir" "$dir/run"
    for command in $(all_commands); do
        [[ $asks_nobody != *" $command "* ]] || continue
        # shellcheck disable=SC2086,SC2046
        is_refused 'permission\|group\|may' as 65534 65534 "$command" $(words_of "${right[$command]}")
        [ -n "$group" ] || continue
        [[ $for_admins == *" $command "* ]] || continue
        # shellcheck disable=SC2086,SC2046
        is_refused 'jitsu-admin' as 65534 "$group" "$command" $(words_of "${right[$command]}")
    done
    [ -z "$group" ] || setpriv --reuid 65534 --regid "$group" --clear-groups "$BUILD/jitsuctl" -S "$dir/run/control.sock" list > /dev/null ||
        fail "group jitsu may not look" || return 1
    everything | cmp - "$dir/before" || fail "something has changed" || return 1
    [ "$bad" = 0 ]
}

run_tests "$@"

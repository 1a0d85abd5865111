#!/bin/bash
# lint.sh: what the compiler does not look at.  Exit status 0 when nothing was found.
#
#     include directions   which folder may include which (ARCHITECTURE.md has the reasons)
#     cppcheck             over all C files
#     clang-tidy           the same; .clang-tidy says what it looks for
#
# A tool that is not installed is skipped, with a line that says so.
set -u
cd "$(dirname "$0")/.." || exit 1
findings=0
folders='base config dns synproxy control launcher backends hooks cmd'
# shellcheck disable=SC2086
mapfile -t ours < <(find $folders -name '*.[ch]' | sort)
mapfile -t tests < <(find tests -name '*.[ch]' | sort)
# (what runs in a guest or in the kernel is another world)
mapfile -t sources < <(printf '%s\n' "${ours[@]}" "${tests[@]}" | grep '\.c$' | grep -v '\.bpf\.c$\|^tests/guests/')

report() { # report NAME COUNT
    if [ "$2" = 0 ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        findings=1
    fi
}

# A folder may include itself and what stands here: folders, or single headers.  Tests are free.
allowed() {
    cat <<'TABLE'
base
config     base
dns        base config/service.h
synproxy   base config/service.h
control    base config/service.h
launcher   base config backends/backend.h
backends   base
hooks      base
cmd        base config dns synproxy control launcher backends
TABLE
}

check_includes() {
    awk '
        BEGIN {
            while ((getline line < "-") > 0) {
                n = split(line, w, " ")
                may[w[1]] = "itself"
                ok[w[1], w[1]] = 1
                for (i = 2; i <= n; i++) {
                    ok[w[1], w[i]] = 1
                    may[w[1]] = may[w[1]] ", " w[i]
                }
            }
            close("-")
        }
        function complain(what) {
            printf "%s:%d: %s\n", FILENAME, FNR, what
            bad = 1
        }
        FNR == 1 {
            split(FILENAME, path, "/")
            folder = path[1]
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, quoted, "\"")
            file = quoted[2]
            if (split(file, part, "/") < 2)
                complain("\"" file "\" does not name its folder")
            else if (!((folder, part[1]) in ok) && !((folder, file) in ok))
                complain(folder "/ may not include \"" file "\", only: " may[folder])
        }
        /^[ \t]*#[ \t]*include[ \t]*<(libvirt|xen|libxl|xentoollog|xenstore)/ && folder != "backends" {
            complain("only backends/ may include the headers of a hypervisor")
        }
        END { exit bad }
    ' "${ours[@]}" < <(allowed)
}

# It must see the list macros, and no other system header.
run_cppcheck() {
    cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr -j 2 \
        --include="/usr/include/$(gcc -print-multiarch)/sys/queue.h" '-DLIBBPF_OPTS(type,name,...)=struct type name' \
        --suppressions-list=scripts/cppcheck.txt --error-exitcode=1 \
        --template='{file}:{line}: {severity}: {message} [{id}]' \
        -D_GNU_SOURCE -D__linux__ -DACTIVITY_BPF='""' -DHOLD_FILTER_BPF='""' -DDNS_XDP_BPF='""' -I. "${sources[@]}" 2>&1
}

# One file at a time: version 14 carries the state of va_lists over from the file before.
run_clang_tidy() {
    printf '%s\0' "${sources[@]}" |
        xargs -0 -n 1 -P 2 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$1" -- -std=gnu11 -D_GNU_SOURCE \
            -DACTIVITY_BPF="\"\"" -DHOLD_FILTER_BPF="\"\"" -DDNS_XDP_BPF="\"\"" -I. 2>/dev/null' lint
}

check_includes
report 'include directions' $?
if command -v cppcheck >/dev/null; then
    run_cppcheck
    report cppcheck $?
else
    echo 'skip - cppcheck # it is not installed'
fi
if command -v clang-tidy >/dev/null; then
    run_clang_tidy
    report clang-tidy $?
else
    echo 'skip - clang-tidy # it is not installed'
fi
exit "$findings"

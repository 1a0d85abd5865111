#!/bin/bash
# libraries.sh DIRECTORY... -- FILE...: the libraries that programs of another architecture need, and that these need,
# as paths below the first of the directories that has each.  Where a FILE is a directory, all files below it count.
set -u

directories=()
while [ "$1" != -- ]; do directories+=("$1"); shift; done
shift

needed_by() { readelf -d "$@" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u; }

path_of() {
    local directory
    for directory in "${directories[@]}"; do
        [ ! -e "$directory/$1" ] || { echo "$directory/$1"; return; }
    done
}

declare -A seen=()
mapfile -d '' todo < <(find "$@" -type f -size +1k -print0)
while [ ${#todo[@]} -gt 0 ]; do
    mapfile -t names < <(needed_by "${todo[@]}")
    todo=()
    for name in "${names[@]}"; do
        [ -z "${seen[$name]:-}" ] || continue
        seen[$name]=1
        path=$(path_of "$name")
        [ -n "$path" ] || continue
        echo "$path"
        todo+=("$path")
    done
done

#!/bin/bash
# unpack-kernel.sh FROM TO: the ELF file inside an x86 bzImage, packed with lz4 or xz.  Fails where it cannot be had.
#
# QEMU and Xen enter it directly (PVH, PV).  Emulated, that is much faster than letting the guest, or Xen, unpack it.
set -u
from=$1
to=$2

# number FILE OFFSET BYTES: a little-endian number of the boot header.
number() { od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }

sectors=$(number "$from" 497 1)
offset=$(number "$from" 584 4)
length=$(number "$from" 588 4)
start=$(((sectors + 1) * 512 + offset))
# The last four bytes of the payload are its true size.
payload() { tail -c "+$((start + 1))" "$from" | head -c "$((length - 4))"; }

for tool in 'lz4 -dcq' 'xz -dcq'; do
    command -v "${tool%% *}" >/dev/null || continue
    # shellcheck disable=SC2086
    payload | $tool >"$to" 2>/dev/null
    [ "$(stat -c %s "$to")" = "$(number "$from" "$((start + length - 4))" 4)" ] && exit 0
done
rm -f "$to"
exit 1

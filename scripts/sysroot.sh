#!/bin/sh
# sysroot.sh DIR ARCH: what is needed to build jitsu for another Debian architecture, and to run it there with
# qemu's user emulation: headers and libraries of that architecture, unpacked into DIR.  Nothing is installed.
# Does nothing when DIR has them; the packages that belong there are those of `deps.sh --libraries`.
set -eu

dir=$1
arch=$2
scripts=$(cd "$(dirname "$0")" && pwd)
wanted="$("$scripts/deps.sh" --libraries)"
[ "$(cat "$dir/packages" 2>/dev/null)" != "$wanted" ] || exit 0

# One at a time; who waited finds it done.
mkdir -p "$dir.apt"
exec 9> "$dir.apt/used"
flock 9
[ "$(cat "$dir/packages" 2>/dev/null)" != "$wanted" ] || exit 0

echo "unpacking libraries for $arch into $dir"
rm -rf "$dir.apt/cache" "$dir"
# shellcheck disable=SC2086
"$scripts/foreign-apt.sh" "$dir.apt" "$arch" install --yes --download-only $wanted
mkdir -p "$dir/usr/lib" "$dir/usr/bin" "$dir/usr/sbin"
ln -s usr/lib usr/bin usr/sbin "$dir"
for package in "$dir.apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$dir"
done
# An absolute link is about another root directory.
find "$dir" -type l -lname '/*' | while read -r link; do
    ln -sfr "$dir$(readlink "$link")" "$link"
done
rm -rf "${dir:?}/usr/share" "$dir.apt/cache"
printf '%s\n' "$wanted" > "$dir/packages"

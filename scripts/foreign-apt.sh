#!/bin/sh
# foreign-apt.sh DIR ARCH ARGS...: apt-get for another architecture, with a state of its own in DIR, from the
# sources that this host has.  The host's dpkg never hears of that architecture, and root is not needed.
#
# `install --download-only PACKAGE...` puts packages and all that they depend on into DIR/cache/archives,
# because nothing counts as installed; `download PACKAGE...` puts these alone into the working directory.
set -eu

dir=$1
arch=$2
shift 2
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
dir=$(cd "$dir" && pwd)
: > "$dir/status"
cat > "$dir/conf" << EOF
#clear APT::Update;
#clear APT::Architectures;
#clear DPkg::Post-Invoke;
APT { Architecture "$arch"; Architectures { "$arch"; }; Install-Recommends "false"; Sandbox::User "$(id -un)"; };
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Dir { State "$dir"; State::status "$dir/status"; State::lists "$dir/lists"; };
Dir { Cache "$dir/cache"; Cache::archives "$dir/cache/archives"; };
EOF

# The lists, once a day; "updated" is there when all of them came.  (If not: what came may do.)
if [ -z "$(find "$dir/updated" -mmin -1440 2>/dev/null)" ]; then
    rm -f "$dir/updated"
    ! apt-get -qq -c "$dir/conf" update || : > "$dir/updated"
fi
apt-get -qq -c "$dir/conf" "$@"

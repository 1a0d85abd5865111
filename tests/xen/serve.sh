#!/bin/bash
# serve.sh: what run.sh runs in dom0 so that it takes commands of the outer host, one after the other, until it is
# told to exit:
#
#     RUN=/tmp/m tests/xen/run.sh build tests/xen/serve.sh 100000 &
#     tests/xen/in.sh /tmp/m 'xl list'
#     tests/xen/in.sh /tmp/m exit
#
# in.sh writes command.N, and then moves it into place as go.N; output.N and status.N are the answer.
cd /host/run || exit
mkfifo /tmp/never && exec {never}<> /tmp/never || exit
n=1
echo "dom0 takes commands"
while :; do
    if [ -f go.$n ]; then
        [ "$(cat go.$n)" != exit ] || exit 0
        (cd /root && exec bash /host/run/go.$n) > output.$n 2>&1
        echo $? > status.new
        mv status.new status.$n
        n=$((n + 1))
    fi
    read -r -t 0.1 -u "$never"
done

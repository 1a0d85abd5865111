#!/bin/bash
# in.sh DIR COMMAND: runs COMMAND in dom0 of the machine whose RUN directory is DIR (serve.sh), prints what it says,
# and exits with its status.  COMMAND `exit` ends the machine.  It waits for the machine to be up, and for others'
# commands.
set -u
run=${1:?usage: in.sh DIR COMMAND}
command=${2:?usage: in.sh DIR COMMAND}
mkdir -p "$run" && cd "$run" || exit
exec 9> lock
flock 9
n=1
while [ -f go.$n ]; do n=$((n + 1)); done
printf '%s\n' "$command" > command.$n
mv command.$n go.$n
[ "$command" != exit ] || exit 0
until [ -f status.$n ]; do
    [ ! -f ended ] || { echo "in.sh: the machine has ended"; exit 125; }
    sleep 0.1
done
cat output.$n
exit "$(cat status.$n)"

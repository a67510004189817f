#!/bin/bash
# PID 1 of a cluster: starts the command, hands it SIGTERM, reaps whatever is orphaned (Node.js as PID 1
# leaves zombies), and ends with the command; the kernel then ends everything else in the PID namespace.
"$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM INT
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  status=$?
done
exit "$status"

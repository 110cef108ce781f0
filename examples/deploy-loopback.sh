#!/usr/bin/env bash
# A whole deployment on one machine: TLS, nodes with keys, a proxy that closes the control plane, three sites, one of
# which is killed in the middle of the round and comes back, and a stranger's node that is refused. Ends with exit 0 only
# if the distilled set equals, byte for byte, what `collabdm simulate` makes of the same plan.
#
#   make setup && examples/deploy-loopback.sh
#
# Everything lies in a temporary folder; every process is ended when the script ends. Takes a few minutes, most of them
# spent waiting until the killed site's node is let in again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
HERE=$PWD BIN=${BIN:-$PWD/.venv/bin} WORK=$(mktemp -d)
SITES=(north south west)
KILLED=south
# How long any one step may take, and the round: generous, so that a busy machine passes too.
PATIENCE=${PATIENCE:-300} DEADLINE=${DEADLINE:-900}

# No telemetry, no looking for updates, nothing installed at run time, no data sets from the net.
export FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
export HF_HUB_OFFLINE=1 FLWR_HOME=$WORK/flwr PATH=$BIN:$PATH
# One thread everywhere: sites and server share this machine.
export OMP_NUM_THREADS=1

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() {
    say "FAILED: $*" >&2
    for log in "$WORK"/*.log; do printf '\n== %s\n' "$log" >&2; { grep -v '"POST ' "$log" || true; } | tail -n 25 >&2; done
    exit 1
}

tree() { # a process and all below it
    local child
    for child in $(ps -o pid= --ppid "$1"); do tree "$child"; done
    echo "$1"
}
STARTED=()
cleanup() {
    local pids=() pid
    for pid in "${STARTED[@]}"; do
        mapfile -t -O "${#pids[@]}" pids < <(tree "$pid")
    done
    kill -9 "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

eventually() { # eventually WHAT COMMAND...: try once a second
    local what=$1 end=$((SECONDS + PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "$what took more than $PATIENCE seconds"
        sleep 1
    done
}

for tool in flwr flower-superlink flower-supernode collabdm; do
    [[ -x $BIN/$tool ]] || { echo "no $BIN/$tool: run 'make setup', or pip install '.[flower]'" >&2; exit 1; }
done
for tool in openssl ssh-keygen ps; do
    command -v $tool >/dev/null || { echo "no $tool: install openssl, openssh-client and procps" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin
if ! command -v nginx >/dev/null; then
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || { echo "no nginx: install it (apt-get install nginx-light)" >&2; exit 1; }
    say "installing nginx"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y nginx-light >/dev/null
fi
# Ports that are free now.
read -r LINK_PORT PROXY_PORT NODE_PORT_0 NODE_PORT_1 NODE_PORT_2 NODE_PORT_3 < <(python - <<'PY'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*(s.getsockname()[1] for s in sockets))
PY
)

say "1. the plan, and what an in-process simulation makes of it"
cat >"$WORK/round.toml" <<TOML
dataset = "digits"
ipc = 2
engine = "eager"
device = "cpu"
partition = { kind = "iid", clients = ["north", "south", "west"] }
plan = { seeds = 20, batch = 32, network = { name = "convnet", width = 16, depth = 2 } }
local = { iterations = 20 }
server = { passes = 2, draw = 7 }  # a held round takes a draw of its own, and could not be compared
evaluate = { count = 1 }
TOML
collabdm simulate --config "$WORK/round.toml" --out "$WORK/simulated" --quiet >"$WORK/simulate.log" 2>&1 || fail "simulate"
collabdm plan --config "$WORK/round.toml" --out "$WORK/plan.json" >"$WORK/plan.log" || fail "plan"
cmp "$WORK/plan.json" "$WORK/simulated/plan.json" || fail "the plans differ"
# What each site has in the simulation, as a file of its own.
python - "$WORK" <<'PY' || fail "the sites' data"
import sys
from pathlib import Path
import numpy as np
from collabdm.config import load_config
from collabdm.simulation.sharing import shard_of

work = Path(sys.argv[1])
for site in ("north", "south", "west"):
    own = shard_of(load_config(file=work / "round.toml"), site)
    np.savez(work / f"{site}.npz", x_train=own.values[:, 0], y_train=own.labels, classes=np.array(own.classes))
PY

say "2. certificates and keys"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=CollabDM example CA" \
    -keyout "$WORK/ca.key" -out "$WORK/ca.crt" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout "$WORK/server.key" -out "$WORK/server.csr" 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$WORK/san"
openssl x509 -req -in "$WORK/server.csr" -CA "$WORK/ca.crt" -CAkey "$WORK/ca.key" -CAcreateserial -days 30 \
    -extfile "$WORK/san" -out "$WORK/server.pem" 2>/dev/null
for name in "${SITES[@]}" stranger; do ssh-keygen -q -t ecdsa -b 384 -N "" -C "$name" -f "$WORK/$name"; done

say "3. SuperLink on loopback, and the proxy in front of it"
flower-superlink --host 127.0.0.1 --port "$LINK_PORT" --ssl-ca-certfile "$WORK/ca.crt" \
    --ssl-certfile "$WORK/server.pem" --ssl-keyfile "$WORK/server.key" --enable-supernode-auth \
    --disable-runtime-dependency-installation --database "$WORK/superlink.db" >"$WORK/superlink.log" 2>&1 &
STARTED+=($!)
mkdir -p "$FLWR_HOME" "$WORK/nginx"
cat >"$FLWR_HOME/config.toml" <<TOML
[superlink]
default = "prod"

[superlink.prod]
address = "127.0.0.1:$LINK_PORT"
root-certificates = "$WORK/ca.crt"

[superlink.proxy]
address = "127.0.0.1:$PROXY_PORT"
root-certificates = "$WORK/ca.crt"
TOML
# The shipped configuration, with this folder's paths and ports, inside what a plain user's nginx needs round it.
sed -e "s|/etc/collabdm/|$WORK/|; s|127.0.0.1:8000|127.0.0.1:$LINK_PORT|; s|listen 8443|listen 127.0.0.1:$PROXY_PORT|" \
    "$HERE/examples/deploy/nginx.conf" >"$WORK/nginx/site.conf"
cat >"$WORK/nginx/nginx.conf" <<CONF
daemon off;
pid $WORK/nginx/pid;
error_log $WORK/nginx.log;
events {}
http {
    access_log $WORK/access.log;
    client_body_temp_path $WORK/nginx/body;
    proxy_temp_path $WORK/nginx/proxy;
    fastcgi_temp_path $WORK/nginx/fastcgi;
    uwsgi_temp_path $WORK/nginx/uwsgi;
    scgi_temp_path $WORK/nginx/scgi;
    include $WORK/nginx/site.conf;
}
CONF
nginx -p "$WORK/nginx" -e "$WORK/nginx.log" -c "$WORK/nginx/nginx.conf" 2>>"$WORK/nginx.log" &
STARTED+=($!)
eventually "the SuperLink's start" flwr list prod
eventually "nginx's start" bash -c "exec 3<>/dev/tcp/127.0.0.1/$PROXY_PORT"

say "4. each site's public key is registered under its name in the plan"
for name in "${SITES[@]}"; do
    flwr supernode register "$WORK/$name.pub" prod --name "$name" >>"$WORK/register.log" 2>&1 || fail "registering $name"
done

say "5. with the CA certificate alone, the control plane cannot be reached through the proxy"
if timeout "$PATIENCE" flwr list proxy >"$WORK/list.log" 2>&1; then fail "a stranger can list runs"; fi
if timeout "$PATIENCE" flwr supernode register "$WORK/stranger.pub" proxy >"$WORK/stranger-register.log" 2>&1; then
    fail "a stranger can register a node"
fi

say "6. three sites behind the proxy, and a stranger"
node() { # node NAME PORT
    exec flower-supernode --superlink "127.0.0.1:$PROXY_PORT" --root-certificates "$WORK/ca.crt" \
        --auth-supernode-private-key "$WORK/$1" --host 127.0.0.1 --port "$2" \
        --node-config "client=\"$1\" dataset=\"$WORK/$1.npz\" cache=\"$WORK/cache-$1\" engine=\"eager\" device=\"cpu\""
}
supervised() { # what systemd would do: start it again, however often
    while :; do
        (node "$1" "$2") >>"$WORK/$1.log" 2>&1 &
        echo $! >"$WORK/$1.pid"
        wait $! || true
        sleep 5
    done
}
for i in 0 1 2; do
    port=NODE_PORT_$i
    supervised "${SITES[i]}" "${!port}" 2>/dev/null &
    STARTED+=($!)
done
code=0
(node stranger "$NODE_PORT_3") >"$WORK/stranger.log" 2>&1 &
STARTED+=($!)
STRANGER=$!
eventually "refusing the stranger" bash -c "! kill -0 $STRANGER"
wait $STRANGER || code=$?
((code != 0)) || fail "a node with a foreign key ended well"
grep -q "No SuperNode found\|could not be activated\|\[code:" "$WORK/stranger.log" || fail "the stranger was refused for another reason"
say "   the stranger's node was refused (exit $code)"

say "7. the round"
flwr run "$HERE/examples/flower" prod --run-config "plan=\"$WORK/plan.json\" out=\"$WORK/round\" \
config=\"$WORK/round.toml\" deadline=$DEADLINE min-clients=3" >"$WORK/run.log" 2>&1 || fail "flwr run"
eventually "asking $KILLED" grep -q "Receiving: query.contribute" "$WORK/$KILLED.log"
mapfile -t victims < <(tree "$(cat "$WORK/$KILLED.pid")")
kill -9 "${victims[@]}"
say "   killed $KILLED in the middle of the round; its supervisor starts it again"
PATIENCE=$((DEADLINE + PATIENCE)) eventually "the round" bash -c "flwr list prod --format json | grep -q '\"finished:'"
flwr list prod --format json >"$WORK/list.log"
grep -q '"finished:completed"' "$WORK/list.log" || fail "the run did not complete: $(grep '"status' "$WORK/list.log")"
grep -q "asked node $KILLED again" "$WORK/round/events.jsonl" || fail "$KILLED was not asked again"

say "8. the distilled set is the simulation's"
python - "$WORK" <<'PY' || fail "the distilled sets differ"
import json
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import load_file

work = Path(sys.argv[1])
here, there = (load_file(work / run / "distilled" / "distilled.safetensors") for run in ("simulated", "round"))
assert here.keys() == there.keys(), (sorted(here), sorted(there))
for name in here:
    assert here[name].dtype == there[name].dtype and here[name].tobytes() == there[name].tobytes(), name
metrics = json.loads((work / "round" / "metrics.json").read_text())
assert sorted(metrics["bytes"]["up"]) == ["north", "south", "west"] and not metrics["missing"] and not metrics["refused"], metrics
print("          equal:", {name: list(array.shape) for name, array in here.items()}, "bytes up:", metrics["bytes"]["up"])
PY
say "passed in $SECONDS seconds"

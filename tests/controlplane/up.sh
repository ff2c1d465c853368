#!/usr/bin/env bash
# up.sh BIN DIR [--controllers] [API-SERVER-FLAG...]: runs etcd and kube-apiserver from BIN on loopback until its standard input ends, with everything they
# write under DIR, which is removed at the end. No root, no network and no other tool are needed. --controllers adds kube-controller-manager; the flags
# are given to kube-apiserver.
#
# Prints "ready" when the API server answers. The line "restart" on its input kills the API server and starts it again, with the same port and data;
# "restarted" is printed when it answers. By then DIR holds
#   kubeconfig   user admin, group system:masters
#   alice        kubeconfig of user alice, who may do only what RBAC grants her
#   probekeeper  kubeconfig of user probekeeper, likewise
#   address      host:port of the API server      ca.crt   what its certificate is checked against      token   admin's bearer token
#   etcd.log apiserver.log controllers.log
#
# A reader of a pipe notices the writer's death, however it dies: so nothing here outlives the test or demo that holds the other end.
set -euo pipefail
umask 077
bin=$1 dir=$2 controllers=
shift 2
[ "${1:-}" != --controllers ] || { controllers=$1; shift; }
api_server_flags=("$@")
for b in etcd kube-apiserver kubectl ${controllers:+kube-controller-manager}; do
  [ -x "$bin/$b" ] || { echo "probekeeper: $bin/$b is missing: run make controlplane" >&2; exit 1; }
done

pids=()
finish() {
  trap - EXIT INT TERM HUP
  local p
  for p in "${pids[@]}"; do kill -KILL "$p" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In a process group of its own: a ctrl-C at the terminal is for whoever holds our input, not for the servers.
run() { # LOG COMMAND...
  local log=$1
  shift
  set -m
  "$@" < /dev/null >> "$dir/$log.log" 2>&1 &
  set +m
  pids+=($!)
}
alive() { local p; for p in "${pids[@]}"; do kill -0 "$p" 2> /dev/null || return 1; done; }
token() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
# Below 32768, where Linux starts to give out ports for outgoing connections.
free_port() {
  local port
  while port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
  echo "$port"
}

admin=$(token) alice=$(token) manager=$(token) probekeeper=$(token)
echo "$admin" > "$dir/token"
cat > "$dir/tokens.csv" <<T
$admin,admin,1,"system:masters"
$alice,alice,2,"developers"
$manager,system:kube-controller-manager,3
$probekeeper,probekeeper,4
T

kubeconfig() { # FILE USER TOKEN
  cat > "$dir/$1" <<Y
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://$address", certificate-authority: "$dir/ca.crt"}}]
users: [{name: $2, user: {token: "$3"}}]
contexts: [{name: test, context: {cluster: test, user: $2}}]
Y
}

api_server() {
  # The API server makes its own serving certificate, and that key signs service account tokens too: no certificate tool is needed. There are no
  # service accounts without a controller, hence no admission plugin that insists on them, and no endpoints to keep for an address on loopback.
  run apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd" \
    --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$port" --endpoint-reconciler-type=none \
    --cert-dir="$dir/pki" --token-auth-file="$dir/tokens.csv" --authorization-mode=RBAC --allow-privileged=true \
    --service-cluster-ip-range=10.0.0.0/24 --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$dir/pki/apiserver.crt" --service-account-signing-key-file="$dir/pki/apiserver.key" \
    --disable-admission-plugins=ServiceAccount "${api_server_flags[@]}"
}

# Whether the API server gets ready within a minute.
answers() {
  for _ in {1..600}; do
    alive || return 1
    if [ -s "$dir/pki/apiserver.crt" ]; then
      cp "$dir/pki/apiserver.crt" "$dir/ca.crt"
      ! "$bin/kubectl" --kubeconfig="$dir/kubeconfig" --cache-dir="$dir/cache" --request-timeout=5s get --raw /readyz > /dev/null 2>&1 || return 0
    fi
    sleep 0.1
  done
  return 1
}

# A port may be taken by somebody else between the look and the bind: then everything starts once more with others.
start() {
  local peer
  etcd=$(free_port) peer=$(free_port) port=$(free_port)
  address=127.0.0.1:$port
  pids=()
  # etcd's data is worth nothing after the run: without fsync a write takes microseconds.
  run etcd "$bin/etcd" --name=test --data-dir="$dir/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="http://127.0.0.1:$etcd" --advertise-client-urls="http://127.0.0.1:$etcd" \
    --listen-peer-urls="http://127.0.0.1:$peer" --initial-advertise-peer-urls="http://127.0.0.1:$peer" \
    --initial-cluster="test=http://127.0.0.1:$peer"
  api_server
  kubeconfig kubeconfig admin "$admin"
  kubeconfig alice alice "$alice"
  kubeconfig probekeeper probekeeper "$probekeeper"
  kubeconfig manager system:kube-controller-manager "$manager"
  echo "$address" > "$dir/address"
  answers
}

for attempt in 1 2 3; do
  ! start || break
  for p in "${pids[@]}"; do kill -KILL "$p" 2> /dev/null || true; done
  wait 2> /dev/null || true
  if [ "$attempt" = 3 ]; then
    echo "probekeeper: the control plane did not start; the last lines of its logs:" >&2
    tail -n 5 "$dir/etcd.log" "$dir/apiserver.log" >&2
    exit 1
  fi
  rm -rf "$dir/etcd" "$dir/pki"
done

if [ "$controllers" = --controllers ]; then
  run controllers "$bin/kube-controller-manager" --kubeconfig="$dir/manager" --bind-address=127.0.0.1 --secure-port=0 --leader-elect=false \
    --use-service-account-credentials=true --kube-api-qps=500 --kube-api-burst=1000 --concurrent-deployment-syncs=2 \
    --controllers=deployment-controller,replicaset-controller,replicationcontroller-controller,statefulset-controller,daemonset-controller,job-controller,cronjob-controller,validatingadmissionpolicy-status-controller,serviceaccount-controller
fi

echo ready
while :; do
  code=0
  read -r -t 1 verb || code=$?
  [ "$code" != 1 ] || exit 0 # 1 is the end of input, more than 128 the timeout
  if [ "$code" = 0 ] && [ "$verb" = restart ]; then
    # etcd was started first.
    kill -KILL "${pids[1]}"
    wait "${pids[1]}" 2> /dev/null || true
    others=("${pids[@]:2}")
    pids=("${pids[0]}")
    api_server
    pids+=("${others[@]}")
    answers || { echo "probekeeper: the API server did not start again; the last lines of its log:" >&2; tail -n 5 "$dir/apiserver.log" >&2; exit 1; }
    echo restarted
  fi
  alive || { echo "probekeeper: a part of the control plane ended; the last lines of its logs:" >&2; tail -n 5 "$dir"/*.log >&2; exit 1; }
done

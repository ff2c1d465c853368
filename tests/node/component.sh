#!/usr/bin/env bash
# component.sh DIR start NAME... | stop NAME... | crash: the node's daemons, from inside its namespaces. Each is started again a second after it ends, as
# systemd and the kubelet do. `crash` kills every process but pid 1, as a power cut would; nothing starts again by itself then.
set -euo pipefail
dir=$1
# shellcheck source=/dev/null # written by up.sh: bin net node_ip service_cidr
. "$dir/settings"
pki=$dir/pki

run() { # NAME: becomes the daemon
  case $1 in
    containerd) exec containerd --config "$dir/containerd.toml" ;;
    # etcd's data is worth nothing after the run: without fsync a write takes microseconds.
    etcd) exec "$bin/etcd" --name=node --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn \
      --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
      --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
      --initial-cluster=node=http://127.0.0.1:2380 ;;
    # With aggregator routing the API server dials the addresses of endpoints: webhooks by Service work without kube-proxy. On port 443 of every address,
    # the "kubernetes" Service's among them, in-cluster clients need no rule either.
    kube-apiserver) exec "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
      --bind-address=0.0.0.0 --secure-port=443 --advertise-address="$node_ip" --service-cluster-ip-range="$service_cidr" --enable-aggregator-routing=true \
      --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" --token-auth-file="$pki/tokens.csv" \
      --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.key" --service-account-signing-key-file="$pki/sa.key" \
      --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --admission-control-config-file="$pki/admission.yaml" --allow-privileged=true \
      --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" --kubelet-preferred-address-types=InternalIP ;;
    # With its default rate the default service account takes six seconds to appear.
    kube-controller-manager) exec "$bin/kube-controller-manager" --kubeconfig="$dir/controller-manager.kubeconfig" --bind-address=127.0.0.1 \
      --leader-elect=false --kube-api-qps=500 --kube-api-burst=1000 --use-service-account-credentials=true \
      --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
      --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins ;;
    kube-scheduler) exec "$bin/kube-scheduler" --kubeconfig="$dir/scheduler.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false ;;
    kubelet) exec "$bin/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubelet.kubeconfig" --hostname-override=node --node-ip="$node_ip" \
      --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki ;;
    *) echo "probekeeper: no component $1" >&2; exit 2 ;;
  esac
}

keep() { # NAME: until it is stopped
  local pid
  echo "$BASHPID" > "$dir/run/$1.keeper"
  while :; do
    (run "$1") &
    pid=$!
    echo "$pid" > "$dir/run/$1.pid"
    wait "$pid" || true
    sleep 1
  done
}

start() {
  rm -f "$dir/run/$1".*
  (keep "$1") < /dev/null >> "$dir/log/$1.log" 2>&1 &
}

stop() {
  local file pid
  for file in "$dir/run/$1.keeper" "$dir/run/$1.pid"; do # the keeper first, or it would start another
    [ -s "$file" ] || continue
    pid=$(< "$file")
    kill -KILL "$pid" 2> /dev/null || true
    while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2> /dev/null; do sleep 0.02; done
  done
  rm -f "$dir/run/$1".*
}

action=$2
shift 2
case $action in
  start | stop) for name in "$@"; do "$action" "$name"; done ;;
  crash)
    kill -KILL -1
    rm -f "$dir/run"/*
    ;;
  *) echo "usage: component.sh DIR start NAME... | stop NAME... | crash" >&2; exit 2 ;;
esac

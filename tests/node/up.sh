#!/usr/bin/env bash
# up.sh BIN DIR [IMAGE.tar...]: a Kubernetes node of its own: containerd, etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubelet from BIN in
# namespaces of their own, the images imported. Runs until its standard input ends; then everything is gone, DIR too. Needs root: see packages.sh.
#
# Prints "ready" when pods can be scheduled, about 7 seconds after the start. By then DIR holds
#   kubeconfig   user admin, group system:masters            address   host:port of the API server
#   token        a bearer token for the same user            ca.crt    what the API server's certificate is checked against
#   init.pid     the node's pid 1: `nsenter --target PID --mount --net --pid --ipc --uts` goes inside
#   log/         one file per daemon
#
# Pods can be reached from this machine by address. There is no kube-proxy and no DNS: other Services' addresses do not work, but webhooks by Service do.
# Nothing of this machine is changed but one network interface, one address range (10.N.1.0/24) and one cgroup, all gone at the end; two nodes at once
# take different ones. Everything ends with this process, however it ends: the kernel kills what is in the namespaces.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd) dir=$2
shift 2
fail() { echo "probekeeper: $*" >&2; exit 1; }
for b in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
  [ -x "$bin/$b" ] || fail "$bin/$b is missing: run make controlplane"
done
"$here/packages.sh" || exit 1
for path in "$here" "$bin" "$dir"; do
  path=$(realpath "$path")
  case $path/ in
    /run/* | /var/lib/* | /var/log/*) fail "$path is not visible inside the node, which has its own /run, /var/lib and /var/log: use a checkout and a TMPDIR elsewhere" ;;
  esac
done
for image in "$@"; do [ -r "$image" ] || fail "$image is missing"; done

# A number of our own for addresses, interface and cgroup. The lock is held by this process alone; what an earlier one left behind under it may go.
for n in {199..180}; do
  exec 9> "/tmp/probekeeper-node-$n.lock"
  flock -n 9 || continue
  [ -n "$(ip -4 route show to match "10.$n.1.1" | grep -v '^default' || true)" ] || break
  exec 9>&-
done
[ -e /proc/$$/fd/9 ] || fail "no address range between 10.180.0.0/16 and 10.199.0.0/16 is free"
interface=pknode$n cgroup=probekeeper-node-$n
node_ip=10.$n.1.1 machine_ip=10.$n.1.254 service_cidr=10.$n.240.0/24 cluster_ip=10.$n.240.1

# --- cgroups: version 1 has one tree for each controller, version 2 one for all
groups() {
  local tree
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/$cgroup"; return; fi
  for tree in /sys/fs/cgroup/*/; do
    case $tree in */unified/) ;; *) [ -L "${tree%/}" ] || echo "$tree$cgroup" ;; esac
  done
}
remove_groups() { # the container runtime makes some in the mixed hierarchy's "unified" too
  local group
  for group in /sys/fs/cgroup/{,*/}"$cgroup"; do
    for _ in {1..50}; do
      [ -d "$group" ] || break
      [ ! -e "$group/cgroup.kill" ] || echo 1 > "$group/cgroup.kill" 2> /dev/null || true
      find "$group" -depth -type d -exec rmdir {} \; 2> /dev/null || true
      [ ! -d "$group" ] || sleep 0.1
    done
  done
}
make_groups() {
  local group parent wanted
  for group in $(groups); do
    parent=$(dirname "$group")
    mkdir -p "$group"
    if [ -e "$group/cpuset.mems" ] && [ ! -e "$group/cgroup.controllers" ]; then
      cat "$parent/cpuset.cpus" > "$group/cpuset.cpus"
      cat "$parent/cpuset.mems" > "$group/cpuset.mems"
    fi
    if [ -e "$group/cgroup.controllers" ]; then
      wanted="+cpu +cpuset +memory +pids"
      if ! echo "$wanted" > "$parent/cgroup.subtree_control" 2> /dev/null; then
        # In a container, the group at the top holds processes, and such a group may not hand on controllers: they move to one beside ours.
        mkdir -p "$parent/probekeeper-others"
        while read -r p; do echo "$p" > "$parent/probekeeper-others/cgroup.procs" 2> /dev/null || true; done < "$parent/cgroup.procs"
        echo "$wanted" > "$parent/cgroup.subtree_control" 2> /dev/null ||
          fail "the controllers cpu, cpuset, memory and pids cannot be enabled in $parent: a node needs them"
      fi
      echo "$wanted" > "$group/cgroup.subtree_control"
    fi
  done
}

node=
finish() {
  trap - EXIT INT TERM HUP
  if [ -n "$node" ]; then
    [ ! -s "$dir/init.pid" ] || kill -KILL "$(< "$dir/init.pid")" 2> /dev/null || true
    kill -KILL "$node" 2> /dev/null || true
    wait "$node" 2> /dev/null || true
  fi
  ip link delete "$interface" 2> /dev/null || true
  remove_groups
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -p "$dir"/{log,run,cni,images}
ip link delete "$interface" 2> /dev/null || true
remove_groups
make_groups
"$here/images.sh" "$dir/images"
for image in "$@"; do cp "$image" "$dir/images/"; done
"$here/pki.sh" "$dir" "$cluster_ip" "$node_ip"
cp "$dir/pki/ca.crt" "$dir/ca.crt"
cp "$dir/admin.kubeconfig" "$dir/kubeconfig"
echo "$node_ip:443" > "$dir/address"
: > "$dir/resolv.conf"
printf '%s=%q\n' here "$here" bin "$bin" node_ip "$node_ip" service_cidr "$service_cidr" cluster_ip "$cluster_ip" > "$dir/settings"

cat > "$dir/containerd.toml" <<Y
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true # where CAP_SYS_RESOURCE is missing, a lower score makes runc's init die
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
Y
cat > "$dir/cni/10-bridge.conflist" <<Y
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.$n.1.0/24", "rangeStart": "10.$n.1.10", "rangeEnd": "10.$n.1.250", "gateway": "$node_ip"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
cat > "$dir/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [10.$n.240.10] # nothing answers there; without it every pod gets a warning event
clusterDomain: cluster.local
resolvConf: $dir/resolv.conf
makeIPTablesUtilChains: false
failSwapOn: false
volumePluginDir: /var/lib/kubelet/volumeplugins
imageGCHighThresholdPercent: 100
oomScoreAdj: 0
syncFrequency: 10s # a changed Secret reaches its pods within this time instead of a minute
evictionHard: {memory.available: 100Mi}
Y

# The lock is ours alone (9>&-), and the node dies with this process whatever kills it.
setpriv --pdeathsig KILL -- unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc \
  bash "$here/init.sh" "$dir" < /dev/null > "$dir/log/init.log" 2>&1 9>&- &
node=$!
await() { # WHAT SECONDS COMMAND...: until it succeeds
  local what=$1 end=$((SECONDS + $2)) log
  shift 2
  until "$@" > /dev/null 2>&1; do
    if ! kill -0 "$node" 2> /dev/null || [ "$SECONDS" -ge "$end" ]; then
      echo "probekeeper: the node did not start: $what; the last lines of its logs:" >&2
      for log in "$dir"/log/*.log; do echo "--- $(basename "$log")"; tail -n 4 "$log" | cut -c1-400; done >&2
      exit 1
    fi
    sleep 0.05
  done
}
kubectl() { "$bin/kubectl" --kubeconfig="$dir/kubeconfig" --cache-dir="$dir/cache" --request-timeout=10s "$@"; }
await "namespaces" 30 test -e "$dir/namespaces-ready"
init=$(tr -d ' ' < "/proc/$node/task/$node/children")
echo "$init" > "$dir/init.pid"
# This machine's one foot in the pods' network. It goes away with the namespace.
ip link add "$interface" type veth peer name machine netns "$init"
nsenter --target "$init" --net -- ip link set machine master cni0 up
ip address add "$machine_ip/24" dev "$interface"
ip link set "$interface" up
await "the API server is not ready" 120 kubectl get --raw /readyz
await "no default service account" 60 kubectl get serviceaccount default
await "images are not imported" 60 test -e "$dir/images-ready"
await "the node is not ready" 120 kubectl wait --for=condition=Ready node/node --timeout=5s
schedulable() { [ -z "$(kubectl get node node -o jsonpath='{.spec.taints}')" ]; }
await "the node keeps its taints" 60 schedulable

echo ready
while :; do
  code=0
  read -r -t 1 _ || code=$?
  [ "$code" != 1 ] || exit 0 # 1 is the end of input, more than 128 the timeout
  kill -0 "$node" 2> /dev/null || { echo "probekeeper: the node ended; its log:" >&2; tail -n 20 "$dir/log/init.log" >&2; exit 1; }
done

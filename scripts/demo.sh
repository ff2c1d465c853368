#!/usr/bin/env bash
# demo.sh [--api-server]: probekeeper in a real cluster. Builds what is missing, starts a node of its own (kubelet, containerd), installs the image and the chart
# with helm, applies every manifest under examples/ with the real kubectl, shows each answer and what was filled in, then what becomes of a Pod with and without
# probekeeper, and removes everything again. Where no node can be had (it needs root and a few packages), or with --api-server: etcd, kube-apiserver and
# probekeeper on loopback, and no Pods.
# Exit code 0: every manifest fared as its first line says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' dim=$'\e[2m' off=$'\e[0m'; else bold='' red='' green='' yellow='' dim='' off=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s\n' "$*"; }
fail() { printf 'probekeeper: %s\n' "$*" >&2; exit 1; }

node=no why=
if [ "${1:-}" != --api-server ]; then
  why=$(tests/node/packages.sh 2>&1) && node=yes
fi
title "Building what is missing"
tests/controlplane/build.sh --cluster
bin=target/controlplane/bin
if [ "$node" = yes ]; then
  scripts/image.sh
  probekeeper=${CARGO_TARGET_DIR:-target}/image/release/probekeeper
else
  cargo build --locked
  probekeeper=${CARGO_TARGET_DIR:-target}/debug/probekeeper
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/probekeeper-demo.XXXXXX")
server=
finish() {
  trap - EXIT INT TERM HUP
  [ -z "$server" ] || kill "$server" 2> /dev/null || true
  [ -z "$server" ] || wait "$server" 2> /dev/null || true
  if [ -n "${CONTROL_PID:-}" ]; then
    local control=$CONTROL_PID input=${CONTROL[1]}
    exec {input}>&- # the end of its input: it stops everything and removes the folder
    wait "$control" 2> /dev/null || true
  fi
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

is_up() { local line; read -r line <&"${CONTROL[0]}" && [ "$line" = ready ]; }
if [ "$node" = yes ]; then
  title "Starting a node"
  coproc CONTROL { exec tests/node/up.sh "$bin" "$dir" target/image/probekeeper.tar; }
  if ! is_up; then
    # Root and the packages are not all that it takes: a container may be denied mounts or control groups.
    wait "$CONTROL_PID" 2> /dev/null || true
    node=no why="this machine cannot run one, see above"
    mkdir -p "$dir"
  fi
fi
if [ "$node" = no ]; then
  title "Starting a control plane"
  [ -z "$why" ] || say "Without a node: ${why#probekeeper: no node here: }"
  coproc CONTROL { exec tests/controlplane/up.sh "$bin" "$dir"; }
  is_up || fail "the cluster did not start: see above"
fi
api=$(< "$dir/address")
export KUBECONFIG=$dir/kubeconfig KUBECACHEDIR=$dir/cache KUBERC=off
kubectl() { "$bin/kubectl" "$@"; }
say "Kubernetes $(kubectl version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1) at https://$api"

# --- on a node: as everybody installs it
install() {
  local values=image.registry=localhost,image.repository=probekeeper,image.tag=dev,image.pullPolicy=Never
  title "\$ helm install probekeeper charts/probekeeper --namespace probekeeper-system --create-namespace"
  say "${dim}(and --set $values: the image that was just built)$off"
  HELM_CACHE_HOME=$dir/helm HELM_CONFIG_HOME=$dir/helm HELM_DATA_HOME=$dir/helm "$bin/helm" install probekeeper charts/probekeeper \
    --namespace probekeeper-system --create-namespace --set "$values" > "$dir/helm.txt" || fail "helm install failed: see above"
  sed -n '/^State of enforcement/,/^$/p' "$dir/helm.txt"
}

# --- without one: a process on loopback, registered by its address
free_port() {
  local port
  while port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
  echo "$port"
}
is_ready() {
  local status
  { exec 5<> "/dev/tcp/127.0.0.1/$ops"; } 2> /dev/null || return 1
  printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&5
  read -r status <&5 || status=
  exec 5>&-
  [[ $status == *" 200 "* ]]
}
configuration() { # KIND PATH TIMEOUT EXTRA
  cat <<Y
apiVersion: admissionregistration.k8s.io/v1
kind: $1
metadata: { name: probekeeper }
webhooks:
  - name: $2.probekeeper.dev
    clientConfig: { url: "https://$webhook/$2", caBundle: $(base64 < "$dir/webhook-ca.crt" | tr -d '\n') }
    namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: demo } }
    rules:
      - { apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: Namespaced }
      - { apiGroups: [batch], apiVersions: [v1], operations: [CREATE], resources: [jobs], scope: Namespaced }
      - { apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [replicationcontrollers], scope: Namespaced }
      - { apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, statefulsets, daemonsets, replicasets], scope: Namespaced }
      - { apiGroups: [batch], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [cronjobs], scope: Namespaced }
    admissionReviewVersions: [v1]
    failurePolicy: Fail
    timeoutSeconds: $3
    sideEffects: None
    matchPolicy: Equivalent
    ${4:-}
Y
}
serve() {
  webhook=127.0.0.1:$(free_port) ops=$(free_port)
  "$probekeeper" serve --listen "$webhook" --ops-listen "127.0.0.1:$ops" --tls self-signed --ca-out "$dir/webhook-ca.crt" --drain-delay 0s > "$dir/probekeeper.log" 2>&1 &
  server=$!
  for _ in {1..100}; do
    ! is_ready || break
    kill -0 "$server" 2> /dev/null || { cat "$dir/probekeeper.log" >&2; fail "probekeeper serve ended"; }
    sleep 0.1
  done
  is_ready || { cat "$dir/probekeeper.log" >&2; fail "probekeeper serve did not get ready within 10 seconds"; }
  say "probekeeper serve at https://$webhook, policy: recommended"
  kubectl apply -f <(configuration MutatingWebhookConfiguration mutate 2 "reinvocationPolicy: IfNeeded"; echo ---; configuration ValidatingWebhookConfiguration validate 3)
}

kubectl create namespace demo > /dev/null
kubectl config set-context --current --namespace=demo > /dev/null
start=$SECONDS
if [ "$node" = yes ]; then install; else serve; fi
# The API server takes up a registration within a moment; dry runs tell when.
for _ in {1..100}; do
  filled=$(kubectl apply --dry-run=server -o jsonpath='{.items[0].spec.template.spec.containers[0].livenessProbe.timeoutSeconds}' -f examples/flask.yaml 2> /dev/null || true)
  if [ "$filled" != 1 ] && ! kubectl apply --dry-run=server -f examples/mistakes/hair-trigger-liveness.yaml > /dev/null 2>&1; then break; fi
  sleep 0.1
done
[ "$node" != yes ] || say "In force after $((SECONDS - start)) s."

# The probe fields that people write, one per line (a Go template: kubectl is the only tool that reads YAML here). Of Kubernetes' own defaults, only what was applied or differs is worth reading.
# shellcheck disable=SC2016 # the template's variables, not the shell's
fields='{{define "probe"}}{{range $k, $v := .}}{{if or (eq $k "initialDelaySeconds") (eq $k "periodSeconds") (eq $k "timeoutSeconds") (eq $k "failureThreshold")}}    {{$k}}: {{$v}}
{{end}}{{end}}{{end}}{{define "workload"}}{{range .spec.template.spec.containers}}{{$c := .name}}{{with .startupProbe}}{{$c}} startupProbe:
{{template "probe" .}}{{end}}{{with .livenessProbe}}{{$c}} livenessProbe:
{{template "probe" .}}{{end}}{{with .readinessProbe}}{{$c}} readinessProbe:
{{template "probe" .}}{{end}}{{end}}{{end}}{{if eq .kind "Deployment"}}{{template "workload" .}}{{end}}{{if eq .kind "List"}}{{range .items}}{{if eq .kind "Deployment"}}{{template "workload" .}}{{end}}{{end}}{{end}}'
written() { kubectl create --dry-run=client -o go-template="$fields" -f "$1"; }
stored() { kubectl get -o go-template="$fields" -f "$1"; }
without_kubernetes_defaults() { # APPLIED STORED
  awk 'function field() { return /^ / ? probe $0 : (probe = $0) }
       NR == FNR { applied[field()]; next }
       { f = field() } f in applied || !/ (initialDelaySeconds: 0|periodSeconds: 10|timeoutSeconds: 1|failureThreshold: 3)$/' "$1" "$2"
}
coloured_diff() {
  diff -u --label "as applied" --label "as stored" "$1" "$2" |
    sed -e '/^@@/d' -e "1,2s/.*/$dim&$off/" -e "3,\$s/^+.*/$green&$off/" -e "3,\$s/^-.*/$red&$off/" -e 's/^/  /' || true
}

declare -A count=([rejected]=0 ["filled in"]=0 [accepted]=0)
wrong=0 total=0
for file in examples/correct.yaml examples/flask.yaml examples/shop/{order-history,shipping,current-orders}.yaml examples/mistakes/*.yaml; do
  expected=$(sed -n '1s/^# Expected: //p' "$file")
  title "\$ kubectl apply -f $file"
  code=0
  kubectl apply -f "$file" > "$dir/answer" 2>&1 || code=$?
  sed -e "s/^Error.*/$red&$off/" -e "s/^Warning.*/$yellow&$off/" "$dir/answer"
  if [ "$code" != 0 ]; then
    outcome=rejected
  else
    written "$file" > "$dir/applied.txt"
    stored "$file" > "$dir/all.txt"
    without_kubernetes_defaults "$dir/applied.txt" "$dir/all.txt" > "$dir/stored.txt"
    outcome=accepted
    if ! cmp -s "$dir/applied.txt" "$dir/stored.txt"; then
      outcome="filled in"
      say "What probekeeper filled in:"
      coloured_diff "$dir/applied.txt" "$dir/stored.txt"
    fi
  fi
  total=$((total + 1))
  count[$outcome]=$((${count[$outcome]} + 1))
  # "rejected RULE", "filled in", "accepted", the last two with ", warning RULE" where one is due.
  as_expected=yes
  [[ $expected == "$outcome"* ]] || as_expected=no
  case $expected in
    "rejected "*) grep -qF "${expected#rejected }" "$dir/answer" || as_expected=no ;;
    *", warning "*) grep "^Warning:" "$dir/answer" | grep -qF "${expected#*, warning }" || as_expected=no ;;
    *) ! grep -q "^Warning:" "$dir/answer" || as_expected=no ;;
  esac
  if [ "$as_expected" = yes ]; then
    say "${dim}=> $outcome, as expected$off"
  else
    wrong=$((wrong + 1))
    say "$red=> $outcome, but expected: $expected$off"
  fi
done

title "$total manifests: ${count[rejected]} rejected, ${count["filled in"]} filled in, ${count[accepted]} accepted as they are"
if [ "$wrong" != 0 ]; then
  say "${red}$wrong not as expected; probekeeper's log:$off"
  if [ "$node" = yes ]; then kubectl logs --namespace probekeeper-system --selector app.kubernetes.io/name=probekeeper --tail=20; else tail -n 20 "$dir/probekeeper.log"; fi
  exit 1
fi

if [ "$node" = yes ]; then
  title "The Pods that come of it"
  say "An endpoint that takes two seconds, and a liveness probe whose author left out timeoutSeconds. In the namespace \"unseen\", probekeeper is not asked."
  say "  livenessProbe: { httpGet: { path: /cgi-bin/slow, port: 8080 }, periodSeconds: 3 }"
  cat > "$dir/slow.yaml" <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: { name: slow }
spec:
  selector: { matchLabels: { app: slow } }
  template:
    metadata: { labels: { app: slow } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: localhost/app:1
          ports: [{ containerPort: 8080 }]
          livenessProbe: { httpGet: { path: /cgi-bin/slow, port: 8080 }, periodSeconds: 3 }
          readinessProbe: { httpGet: { path: /index.html, port: 8080 }, periodSeconds: 3, timeoutSeconds: 3 }
Y
  kubectl create namespace unseen > /dev/null
  kubectl label namespace unseen probekeeper.dev/ignore=true > /dev/null
  for namespace in demo unseen; do
    say "$ kubectl apply --namespace $namespace -f slow.yaml"
    kubectl apply --namespace "$namespace" -f "$dir/slow.yaml"
  done
  restarts() { kubectl get pods --namespace "$1" --selector app=slow -o jsonpath='{.items[0].status.containerStatuses[0].restartCount}'; }
  for _ in {1..300}; do
    [[ $(restarts unseen) == [1-9]* ]] && break
    sleep 0.2
  done
  say "$ kubectl get pods --all-namespaces --selector app=slow"
  kubectl get pods --all-namespaces --selector app=slow \
    -o custom-columns='NAMESPACE:.metadata.namespace,NAME:.metadata.name,TIMEOUT:.spec.containers[0].livenessProbe.timeoutSeconds,READY:.status.containerStatuses[0].ready,RESTARTS:.status.containerStatuses[0].restartCount'
  kubectl get events --namespace unseen --field-selector reason=Killing -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' | sed -e "s/.*/$red&$off/" | sort -u
  if [ "$(restarts demo)" != 0 ] || [ "$(restarts unseen)" = 0 ]; then fail "the Pods did not fare as expected"; fi
  title "In the end"
fi
say "Each as expected. Everything that was started is stopped and removed. The same judgement without a cluster: $probekeeper lint examples/"

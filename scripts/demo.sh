#!/usr/bin/env bash
# demo.sh: probekeeper on a real API server. Builds what is missing, starts etcd, kube-apiserver and probekeeper on loopback in a temporary folder,
# applies every manifest under examples/ with the real kubectl, shows each answer and what was filled in, and removes everything again.
# Exit code 0: every manifest fared as its first line says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' dim=$'\e[2m' off=$'\e[0m'; else bold='' red='' green='' yellow='' dim='' off=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s\n' "$*"; }
fail() { printf 'probekeeper: %s\n' "$*" >&2; exit 1; }

title "Building what is missing"
tests/controlplane/build.sh
cargo build --locked
bin=target/controlplane/bin
probekeeper=${CARGO_TARGET_DIR:-target}/debug/probekeeper

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

title "Starting a control plane"
coproc CONTROL { exec tests/controlplane/up.sh "$bin" "$dir"; }
read -r line <&"${CONTROL[0]}" && [ "$line" = ready ] || fail "the control plane did not start: see above"
api=$(< "$dir/address")
export KUBECONFIG=$dir/kubeconfig KUBECACHEDIR=$dir/cache KUBERC=off
kubectl() { "$bin/kubectl" "$@"; }
say "etcd and kube-apiserver $(kubectl version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1) at https://$api"

free_port() {
  local port
  while port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000)); (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do :; done
  echo "$port"
}
webhook=127.0.0.1:$(free_port) ops=$(free_port)
"$probekeeper" serve --listen "$webhook" --ops-listen "127.0.0.1:$ops" --tls self-signed --ca-out "$dir/webhook-ca.crt" --drain-delay 0s > "$dir/probekeeper.log" 2>&1 &
server=$!
is_ready() {
  local status
  { exec 5<> "/dev/tcp/127.0.0.1/$ops"; } 2> /dev/null || return 1
  printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&5
  read -r status <&5 || status=
  exec 5>&-
  [[ $status == *" 200 "* ]]
}
for _ in {1..100}; do
  ! is_ready || break
  kill -0 "$server" 2> /dev/null || { cat "$dir/probekeeper.log" >&2; fail "probekeeper serve ended"; }
  sleep 0.1
done
is_ready || { cat "$dir/probekeeper.log" >&2; fail "probekeeper serve did not get ready within 10 seconds"; }
say "probekeeper serve at https://$webhook, policy: recommended"

kubectl create namespace demo > /dev/null
kubectl config set-context --current --namespace=demo > /dev/null
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
kubectl apply -f <(configuration MutatingWebhookConfiguration mutate 2 "reinvocationPolicy: IfNeeded"; echo ---; configuration ValidatingWebhookConfiguration validate 3)
# The API server takes up a registration within a moment; dry runs tell when.
for _ in {1..100}; do
  filled=$(kubectl apply --dry-run=server -o jsonpath='{.items[0].spec.template.spec.containers[0].livenessProbe.timeoutSeconds}' -f examples/flask.yaml 2> /dev/null || true)
  if [ "$filled" != 1 ] && ! kubectl apply --dry-run=server -f examples/mistakes/hair-trigger-liveness.yaml > /dev/null 2>&1; then break; fi
  sleep 0.1
done

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
  tail -n 20 "$dir/probekeeper.log"
  exit 1
fi
say "Each as expected. Everything that was started is stopped and removed. The same judgement without a cluster: $probekeeper lint examples/"

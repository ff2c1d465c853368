#!/usr/bin/env bash
# pki.sh DIR CLUSTER_IP NODE_IP: DIR/pki with one authority, the API server's certificate, client certificates of the components and the key that signs
# service account tokens; DIR/*.kubeconfig for each of them.
set -euo pipefail
umask 077
dir=$1 cluster_ip=$2 node_ip=$3
mkdir -p "$dir/pki"
cd "$dir/pki"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
certificate() { # NAME SUBJECT USAGE [SAN]
  key "$1"
  {
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=$3"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } > "$1.ext"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -sha256 -days 30 -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" -in "$1.csr" -out "$1.crt" -extfile "$1.ext" 2> openssl.log ||
    { cat openssl.log >&2; return 1; }
}
kubeconfig() { # NAME SERVER
  cat > "$dir/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
current-context: node
clusters: [{name: node, cluster: {server: "https://$2:443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: node, context: {cluster: node, user: $1}}]
Y
}

key ca
openssl req -x509 -new -key ca.key -sha256 -days 30 -subj /CN=node-test-ca -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
certificate apiserver /CN=kube-apiserver serverAuth \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:$cluster_ip,IP:$node_ip,IP:127.0.0.1"
certificate admin /O=system:masters/CN=admin clientAuth # people and tests; also the API server towards the kubelet
certificate controller-manager /CN=system:kube-controller-manager clientAuth
certificate scheduler /CN=system:kube-scheduler clientAuth
certificate kubelet /O=system:nodes/CN=system:node:node clientAuth
certificate webhook-client /CN=webhook-client clientAuth # the API server towards webhooks that ask for one
openssl genrsa -out sa.key 2048 2> /dev/null
kubeconfig admin "$node_ip"
for name in controller-manager scheduler kubelet; do kubeconfig "$name" 127.0.0.1; done
# Shown to one webhook, and only when it asks: as docs/certificates.md says.
cat > webhooks.yaml <<Y
apiVersion: v1
kind: Config
users: [{name: probekeeper.probekeeper.svc, user: {client-certificate: $PWD/webhook-client.crt, client-key: $PWD/webhook-client.key}}]
Y
cat > admission.yaml <<Y
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: ValidatingAdmissionWebhook
    configuration: &webhooks {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: $PWD/webhooks.yaml}
  - name: MutatingAdmissionWebhook
    configuration: *webhooks
Y
# Requests of the tests' own HTTP client.
token=$(openssl rand -hex 16)
echo "$token" > "$dir/token"
echo "$token,admin,1,system:masters" > tokens.csv

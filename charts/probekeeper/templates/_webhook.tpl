{{/* What both webhooks ask for. Pods and Jobs on CREATE only: their probes cannot change, and removing a finalizer must not wait for us. */}}
{{- define "probekeeper.rules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [jobs]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [replicationcontrollers]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [deployments, statefulsets, daemonsets, replicasets]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [cronjobs]
  scope: Namespaced
{{- if not .Values.existingPolicyConfigMap }}
{{- range (include "probekeeper.policy" . | fromYaml).workloads }}
{{- $parts := splitList "/" .apiVersion }}
- apiGroups: [{{ if gt (len $parts) 1 }}{{ first $parts | quote }}{{ else }}""{{ end }}]
  apiVersions: [{{ last $parts | quote }}]
  operations: [CREATE, UPDATE]
  resources: [{{ .resource | quote }}]
  scope: Namespaced
{{- end }}
{{- end }}
{{- with .Values.webhook.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Namespaces that are looked at; `selector` narrows them further. Takes a dict of `root` and `selector`. */}}
{{- define "probekeeper.namespaceSelector" -}}
{{- with .selector.matchLabels }}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: [{{ .root.Release.Namespace | quote }}, kube-system, kube-node-lease]
  - key: probekeeper.dev/ignore
    operator: DoesNotExist
  {{- with .selector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Conditions of both webhooks. Takes a dict of `root` and `conditions`. */}}
{{- define "probekeeper.matchConditions" -}}
# Mirror pods show what a kubelet already runs.
- name: not-a-mirror-pod
  expression: >-
    !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
- name: not-by-a-node
  expression: >-
    !has(request.userInfo.groups) || !('system:nodes' in request.userInfo.groups)
{{- if not .root.Values.webhook.ownedObjects }}
# The owner was judged. And network and storage pods must be able to start while no replica of ours is alive.
- name: not-by-a-controller-of-kubernetes
  expression: >-
    !(request.userInfo.username in [
    'system:kube-controller-manager',
    {{- $names := list "deployment" "replicaset" "replication" "daemon-set" "statefulset" "job" "cronjob" }}
    {{- range $i, $name := $names }}
    'system:serviceaccount:kube-system:{{ $name }}-controller'{{ if lt (add1 $i) (len $names) }},{{ end }}
    {{- end }}
    ])
{{- end }}
{{- with .conditions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of both configurations. */}}
{{- define "probekeeper.configurationAnnotations" -}}
{{- if eq .Values.certificates.mode "certManager" }}
cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "probekeeper.fullname" . }}
{{- end }}
{{- with .Values.webhook.annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

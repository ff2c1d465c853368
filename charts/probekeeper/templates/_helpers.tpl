{{/* Names. Suffixes of up to 11 characters must fit into the 63 of a Service. */}}
{{- define "probekeeper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "probekeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "probekeeper.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "probekeeper.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "probekeeper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "probekeeper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "probekeeper.policyName" -}}
{{- default (printf "%s-policy" (include "probekeeper.fullname" .)) .Values.existingPolicyConfigMap -}}
{{- end -}}

{{/* The Secret that the replicas keep their CA in. */}}
{{- define "probekeeper.caSecretName" -}}
{{- include "probekeeper.fullname" . }}-ca
{{- end -}}

{{/* The Secret that is mounted as files, when the replicas do not issue their own certificate. */}}
{{- define "probekeeper.tlsSecretName" -}}
{{- if eq .Values.certificates.mode "existingSecret" -}}
{{- .Values.certificates.existingSecret.name -}}
{{- else -}}
{{- include "probekeeper.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{- define "probekeeper.image" -}}
{{- $registry := default .Values.image.registry (.Values.global).imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end -}}

{{- define "probekeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ include "probekeeper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "probekeeper.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "probekeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: probekeeper
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The policy file as it is stored. */}}
{{- define "probekeeper.policy" -}}
{{- if kindIs "string" .Values.policy -}}
{{- .Values.policy -}}
{{- else -}}
{{- $default := dict "apiVersion" "probekeeper.dev/v1" "kind" "ProbePolicy" "profile" "recommended" -}}
{{- merge (dict) (default dict .Values.policy) $default | toYaml -}}
{{- end -}}
{{- end -}}

{{/* How many replicas there are at least. */}}
{{- define "probekeeper.minReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ int .Values.autoscaling.minReplicas }}{{ else }}{{ int .Values.replicaCount }}{{ end }}
{{- end -}}

{{/* What ServiceMonitor and PodMonitor share. */}}
{{- define "probekeeper.scrape" -}}
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The alerts, with this release's names. */}}
{{- define "probekeeper.alerts" -}}
{{- .Files.Get "alerts.yaml" | replace "NAMESPACE" .Release.Namespace | replace "DEPLOYMENT" (include "probekeeper.fullname" .) -}}
{{- end -}}

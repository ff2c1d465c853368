{{/* Values that each pass the schema but do not go together. Renders nothing, or fails with one line that says what to change. */}}
{{- define "probekeeper.refuse" -}}
{{- $v := .Values -}}

{{- if and $v.existingPolicyConfigMap (not (kindIs "invalid" $v.policy)) -}}
  {{- fail "probekeeper: policy and existingPolicyConfigMap exclude each other: move the policy into that ConfigMap, or unset existingPolicyConfigMap" -}}
{{- end -}}
{{- $policy := include "probekeeper.policy" . | fromYaml -}}
{{- if hasKey $policy "Error" -}}
  {{- fail (printf "probekeeper: policy is no YAML mapping: %s" ($policy.Error | toString | replace "\n" " ")) -}}
{{- end -}}
{{- if or (ne (toString $policy.apiVersion) "probekeeper.dev/v1") (ne (toString $policy.kind) "ProbePolicy") -}}
  {{- fail "probekeeper: policy must begin with apiVersion: probekeeper.dev/v1 and kind: ProbePolicy" -}}
{{- end -}}
{{- if and (eq (toString $policy.ownedObjects) "deny") (not $v.webhook.ownedObjects) -}}
  {{- fail "probekeeper: policy says ownedObjects: deny, but the API server does not send such objects: set webhook.ownedObjects to true" -}}
{{- end -}}
{{- range $policy.workloads -}}
  {{- if not (and .apiVersion .resource) -}}
    {{- fail "probekeeper: each of policy.workloads needs apiVersion and resource: webhook rules are made from them" -}}
  {{- end -}}
{{- end -}}

{{- $mode := $v.certificates.mode -}}
{{- if and (eq $mode "existingSecret") (not $v.certificates.existingSecret.name) -}}
  {{- fail "probekeeper: certificates.mode existingSecret needs certificates.existingSecret.name" -}}
{{- end -}}
{{- if and (ne $mode "existingSecret") $v.certificates.existingSecret.name -}}
  {{- fail (printf "probekeeper: certificates.existingSecret.name is set, but certificates.mode is %s: set the mode to existingSecret, or unset the name" $mode) -}}
{{- end -}}
{{- if and (ne $mode "certManager") $v.certificates.certManager.issuerRef.name -}}
  {{- fail (printf "probekeeper: certificates.certManager.issuerRef.name is set, but certificates.mode is %s: set the mode to certManager, or unset the name" $mode) -}}
{{- end -}}

{{- if and $v.webhook.validating.enabled (eq $v.webhook.validating.failurePolicy "Fail") (lt (include "probekeeper.minReplicas" . | int) 2) -}}
  {{- fail "probekeeper: webhook.validating.failurePolicy Fail needs at least 2 replicas: with 1, the loss of its node stops every change of workloads" -}}
{{- end -}}
{{- if and $v.webhook.mutating.enabled (eq $v.webhook.mutating.failurePolicy "Fail") (lt (include "probekeeper.minReplicas" . | int) 2) -}}
  {{- fail "probekeeper: webhook.mutating.failurePolicy Fail needs at least 2 replicas: with 1, the loss of its node stops every change of workloads" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
  {{- fail "probekeeper: autoscaling.minReplicas is larger than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not (($v.resources).requests).cpu) -}}
  {{- fail "probekeeper: autoscaling needs resources.requests.cpu: utilization is a percentage of it" -}}
{{- end -}}

{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
  {{- fail "probekeeper: metrics.serviceMonitor and metrics.podMonitor are both enabled: every sample would be there twice, choose one" -}}
{{- end -}}
{{- $alerts := list -}}
{{- range include "probekeeper.alerts" . | fromYamlArray -}}
  {{- $alerts = append $alerts .alert -}}
{{- end -}}
{{- range $v.metrics.prometheusRule.disabledAlerts -}}
  {{- if not (has . $alerts) -}}
    {{- fail (printf "probekeeper: metrics.prometheusRule.disabledAlerts has %s, which is no alert: they are %s" . ($alerts | join ", ")) -}}
  {{- end -}}
{{- end -}}
{{- if and $v.webhook.clientAuthentication.subjects (not $v.webhook.clientAuthentication.secretName) -}}
  {{- fail "probekeeper: webhook.clientAuthentication.subjects needs webhook.clientAuthentication.secretName: without a CA nobody is checked" -}}
{{- end -}}
{{- if and $v.hostNetwork $v.networkPolicy.enabled -}}
  {{- fail "probekeeper: networkPolicy has no effect on pods with hostNetwork: turn one of them off" -}}
{{- end -}}
{{- if eq (int $v.ports.webhook) (int $v.ports.ops) -}}
  {{- fail "probekeeper: ports.webhook and ports.ops are the same: choose two" -}}
{{- end -}}

{{- $owned := list "--listen" "--ops-listen" "--policy" "--tls" "--service" "--validating-configuration" "--mutating-configuration" "--publish-ca" "--client-ca" "--client-subject" "--log-format" "--log-level" -}}
{{- range $v.extraArgs -}}
  {{- $flag := splitList "=" . | first -}}
  {{- if has $flag $owned -}}
    {{- fail (printf "probekeeper: extraArgs has %s, which the chart sets itself: use the value for it" $flag) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

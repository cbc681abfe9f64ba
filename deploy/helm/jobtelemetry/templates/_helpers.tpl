{{- define "jobtelemetry.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}{{ end }}{{ end }}
{{- end }}

{{- define "jobtelemetry.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jobtelemetry.labels" -}}
{{ include "jobtelemetry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "jobtelemetry.secret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "jobtelemetry.fullname" .)) }}
{{- end }}

{{- define "jobtelemetry.env" -}}
- name: JOBTELEMETRY_REDIS_URL
  valueFrom: &redis
    secretKeyRef:
      name: {{ include "jobtelemetry.secret" . }}
      key: {{ .Values.redis.key }}
- name: RQ_REDIS_URL
  valueFrom: *redis
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "jobtelemetry.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10427
runAsGroup: 10427
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "jobtelemetry.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "jobtelemetry.queueAge" -}}
max(time() - jobtelemetry_queue_oldest_job_timestamp_seconds{queue=~"{{ join "|" .Values.pool.queues }}"}) or vector(0)
{{- end }}

{{- define "penstock.name" -}}penstock-operator{{- end -}}

{{- define "penstock.labels" -}}
app.kubernetes.io/name: {{ include "penstock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ include "penstock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "penstock.exported" -}}penstock-exported{{- end -}}

{{- define "penstock.account" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "penstock.name" . }}
{{- end -}}

{{- define "penstock.archiver.selector" -}}
app.kubernetes.io/name: penstock-archiver
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "penstock.archiver.labels" -}}
{{ include "penstock.archiver.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "penstock.config" -}}
{{- $gateway := dict "namespace" .Values.gateway.namespace "name" .Values.gateway.name "sectionName" .Values.gateway.sectionName "url" .Values.gateway.url "probeUrl" .Values.gateway.probeUrl -}}
{{- $config := dict "runtimeImage" (required "image.runtime is required: the model server's image as NAME@sha256:DIGEST" .Values.image.runtime) "imagePullPolicy" .Values.image.pullPolicy "artifactStore" (dict "repository" .Values.artifactStore.repository) "gateway" $gateway "metrics" (dict "source" .Values.metrics.source "counters" .Values.metrics.counters) "insecureRegistries" .Values.insecureRegistries "maxRollouts" .Values.maxRollouts "workers" .Values.workers "writesPerSecond" .Values.writesPerSecond "writeBurst" .Values.writeBurst -}}
{{- if .Values.archiver.enabled }}{{- $_ := set $config "exportedConfigMap" (include "penstock.exported" .) -}}{{- end -}}
{{- with .Values.image.jobs }}{{- $_ := set $config "jobsImage" . -}}{{- end -}}
{{- mustToPrettyJson $config -}}
{{- end -}}

{{/* The policies as YAML documents: applied by policies.yaml, and told to the operator, which checks that they are there. */}}
{{- define "penstock.policies" }}
{{- $operator := include "penstock.account" . | trim }}
{{- $p := .Values.policies }}
{{- $cleaners := list $p.garbageCollector $p.namespaceController }}
{{- /* Who may delete DecisionRecords too, once they are in the artifact store; nobody where there is no archiver. */}}
{{- $archiver := ternary (list (printf "system:serviceaccount:%s:penstock-archiver" .Release.Namespace)) list .Values.archiver.enabled }}
{{- /* Each policy: who may write what. `selector` limits it to objects that carry our label. */}}
{{- $records := dict "name" "penstock-records" "ops" (list "CREATE" "UPDATE" "DELETE")
  "rules" (list (dict "groups" (list "penstock.dev") "resources" (list "modelrevisions" "decisionrecords")))
  "writers" (list $operator) "deleters" $cleaners
  "what" "ModelRevisions and DecisionRecords are written by the operator alone and never changed; this is" }}
{{- $status := dict "name" "penstock-status" "ops" (list "UPDATE")
  "rules" (list (dict "groups" (list "penstock.dev") "resources" (list "models/status" "modelrevisions/status" "featuresets/status" "evaluationgates/status" "modelactions/status")))
  "writers" (list $operator) "deleters" $cleaners
  "what" "status is written by the operator alone; this is" }}
{{- $children := dict "name" "penstock-children" "ops" (list "CREATE" "UPDATE") "label" "penstock.dev/model"
  "rules" (list (dict "groups" (list "apps") "resources" (list "deployments")) (dict "groups" (list "") "resources" (list "services")) (dict "groups" (list "gateway.networking.k8s.io") "resources" (list "httproutes")))
  "writers" (list $operator $p.garbageCollector) "deleters" list
  "what" "objects with the label penstock.dev/model are written by the operator alone, change the Model instead; this is" }}
{{- $replicasets := dict "name" "penstock-replicasets" "ops" (list "CREATE" "UPDATE") "label" "penstock.dev/revision"
  "rules" (list (dict "groups" (list "apps") "resources" (list "replicasets")))
  "writers" (list $p.deploymentController $p.garbageCollector) "deleters" list
  "what" "ReplicaSets with the label penstock.dev/revision come from the Deployment controller alone; this is" }}
{{- $pods := dict "name" "penstock-pods" "ops" (list "CREATE" "UPDATE") "label" "penstock.dev/revision"
  "rules" (list (dict "groups" (list "") "resources" (list "pods")))
  "writers" (list $p.replicaSetController $p.garbageCollector) "deleters" list
  "what" "pods with the label penstock.dev/revision come from the ReplicaSet controller alone; this is" }}
{{- $jobs := dict "name" "penstock-jobs" "ops" (list "CREATE" "UPDATE") "label" "penstock.dev/job"
  "rules" (list (dict "groups" (list "batch") "resources" (list "jobs")))
  "writers" (list $operator $p.jobController $p.garbageCollector) "deleters" list
  "what" "Jobs with the label penstock.dev/job are written by the operator alone; this is" }}
{{- $jobPods := dict "name" "penstock-job-pods" "ops" (list "CREATE" "UPDATE") "label" "penstock.dev/job"
  "rules" (list (dict "groups" (list "") "resources" (list "pods")))
  "writers" (list $p.jobController $p.garbageCollector) "deleters" list
  "what" "pods with the label penstock.dev/job come from the Job controller alone; this is" }}
{{- range $policy := list $records $status $children $replicasets $pods $jobs $jobPods }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $policy.name }}
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    {{- with $policy.label }}
    objectSelector:
      matchExpressions: [{key: {{ . }}, operator: Exists}]
    {{- end }}
    resourceRules:
    {{- range $policy.rules }}
    - apiGroups: {{ .groups | toJson }}
      apiVersions: ["*"]
      operations: {{ $policy.ops | toJson }}
      resources: {{ .resources | toJson }}
    {{- end }}
  validations:
  {{- $also := "" }}
  {{- if and $archiver (eq $policy.name "penstock-records") }}
  {{- $also = printf " || (request.resource.resource == 'decisionrecords' && request.userInfo.username in %s)" ($archiver | toJson) }}
  {{- end }}
  - expression: {{ printf "request.operation == 'DELETE' ? (request.userInfo.username in %s%s) : request.userInfo.username in %s" ($policy.deleters | toJson) $also ($policy.writers | toJson) | quote }}
    messageExpression: {{ printf "'%s ' + request.userInfo.username" $policy.what | quote }}
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $policy.name }}
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  policyName: {{ $policy.name }}
  validationActions: [Deny]
{{- end }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-writers
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["penstock.dev"]
      apiVersions: ["*"]
      operations: ["CREATE", "UPDATE"]
      resources: ["models", "featuresets", "evaluationgates"]
  validations:
  # FeatureSets and EvaluationGates make pods too, with the Secrets their writer names. A Model makes pods, with the image and arguments its writer chose: who may not make pods may not make them this way.
  - expression: "(request.operation == 'UPDATE' && object.spec == oldObject.spec) || authorizer.group('').resource('pods').namespace(object.metadata.namespace).check('create').allowed()"
    messageExpression: "(object.kind == 'EvaluationGate' ? 'an ' : 'a ') + object.kind + ' makes pods, and ' + request.userInfo.username + ' may not create pods in namespace ' + object.metadata.namespace"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-writers
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  policyName: penstock-writers
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-scale
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["apps"]
      apiVersions: ["*"]
      operations: ["UPDATE"]
      resources: ["deployments/scale", "replicasets/scale"]
  validations:
  # A Scale has no labels, so that penstock-children cannot see it: its selector tells whose pods it counts.
  - expression: {{ printf "!has(oldObject.status.selector) || !oldObject.status.selector.contains('penstock.dev/revision=') || request.userInfo.username == '%s'" $operator | quote }}
    messageExpression: "'the pods of a Model are counted by the Model: kubectl scale model; this is ' + request.userInfo.username"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-scale
  labels: {{- include "penstock.labels" $ | nindent 4 }}
spec:
  policyName: penstock-scale
  validationActions: [Deny]
{{- include "penstock.policies.people" . }}
{{- end }}

{{/* The policies about people: who gives a command, who asked for a revision, who may make the rules weaker.
   None names models/scale: how many pods there are is not part of a revision. */}}
{{- define "penstock.policies.people" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-actions
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["penstock.dev"]
      apiVersions: ["*"]
      operations: ["CREATE", "UPDATE"]
      resources: ["modelactions"]
  variables:
  - name: model
    expression: "authorizer.group('penstock.dev').resource('models').namespace(request.namespace).name(object.spec.modelRef.name)"
  validations:
  - expression: "request.operation == 'CREATE' || object.spec == oldObject.spec"
    message: a ModelAction never changes; create another one
    reason: Forbidden
  - expression: "request.operation == 'UPDATE' || object.spec.user == request.userInfo.username"
    messageExpression: "'spec.user must be ' + request.userInfo.username"
    reason: Forbidden
  - expression: "request.operation == 'UPDATE' || variables.model.check(object.spec.action.lowerAscii()).allowed()"
    messageExpression: "request.userInfo.username + ' may not ' + object.spec.action.lowerAscii() + ' model ' + object.spec.modelRef.name"
    reason: Forbidden
  # Promoting without a verdict is a weaker rule for this once.
  - expression: "request.operation == 'UPDATE' || !object.spec.?bypass.orValue(false) || variables.model.check('relax').allowed()"
    messageExpression: "request.userInfo.username + ' may not promote model ' + object.spec.modelRef.name + ' with bypass: that needs the verb relax'"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-actions
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  policyName: penstock-actions
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-requester
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["penstock.dev"]
      apiVersions: ["*"]
      operations: ["CREATE", "UPDATE"]
      resources: ["models"]
  variables:
  - name: separated
    expression: >-
      object.spec.?rollout.?approval.?separationOfDuties.orValue(false)
      || (request.operation == 'UPDATE' && oldObject.spec.?rollout.?approval.?separationOfDuties.orValue(false))
  - name: requester
    expression: "object.metadata.?annotations[?'penstock.dev/requested-by'].orValue('')"
  # The annotation too: else it could be rewritten after the change that it signs.
  - name: changed
    expression: >-
      request.operation == 'CREATE' || object.spec != oldObject.spec
      || variables.requester != oldObject.metadata.?annotations[?'penstock.dev/requested-by'].orValue('')
  validations:
  - expression: "!variables.separated || !variables.changed || variables.requester == request.userInfo.username"
    messageExpression: "'separationOfDuties is on: the annotation penstock.dev/requested-by must be ' + request.userInfo.username"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-requester
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  policyName: penstock-requester
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-relax
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["penstock.dev"]
      apiVersions: ["*"]
      operations: ["UPDATE"]
      resources: ["models"]
  variables:
  # What the CRD says by default, where a field was left out.
  - name: old
    expression: "oldObject.spec.?rollout.orValue({})"
  - name: new
    expression: "object.spec.?rollout.orValue({})"
  - name: risk
    expression: "{'Minimal': 0, 'Limited': 1, 'High': 2}"
  - name: oldSteps
    expression: "variables.old.?canary.?steps.orValue([])"
  - name: newSteps
    expression: "variables.new.?canary.?steps.orValue([])"
  - name: steps
    expression: >-
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(i, i < variables.oldSteps.size() && i < variables.newSteps.size())
      .map(i, {'old': variables.oldSteps[i], 'new': variables.newSteps[i]})
  - name: newAnalysis
    expression: "variables.new.?canary.?analysis.orValue([{'name': 'errors', 'type': 'Errors', 'margin': '0.005'}])"
  - name: analysis
    expression: >-
      has(variables.old.canary) && has(variables.new.canary)
      ? variables.old.canary.?analysis.orValue([{'name': 'errors', 'type': 'Errors', 'margin': '0.005'}])
      .map(a, {'old': dyn(a), 'new': dyn(variables.newAnalysis.filter(b, b.name == a.name))})
      : []
  - name: kept
    expression: "variables.analysis.filter(a, a.new.size() == 1).map(a, {'old': a.old, 'new': a.new[0]})"
  - name: shadow
    expression: >-
      has(variables.old.shadow) && has(variables.new.shadow)
      ? [{'old': variables.old.shadow, 'new': variables.new.shadow}] : []
  - name: weaker
    expression: >-
      [
      variables.old.?approval.?required.orValue(false) && !variables.new.?approval.?required.orValue(false)
      ? 'approval.required is switched off' : '',
      variables.new.?approval.?quorum.orValue(1) < variables.old.?approval.?quorum.orValue(1)
      ? 'approval.quorum is lower' : '',
      variables.old.?approval.?separationOfDuties.orValue(false)
      && !variables.new.?approval.?separationOfDuties.orValue(false)
      ? 'approval.separationOfDuties is switched off' : '',
      variables.old.?approval.?required.orValue(false)
      && variables.new.?approval.?before.orValue('Promotion') != variables.old.?approval.?before.orValue('Promotion')
      ? 'approval.before is another' : '',
      variables.old.?gates.orValue([]).exists(a, !variables.new.?gates.orValue([]).exists(b, b.name == a.name))
      ? 'a gate is removed' : '',
      has(variables.old.shadow) && !has(variables.new.shadow)
      ? 'shadow is removed' : '',
      variables.shadow.exists(s, s.new.?minSamples.orValue(2000) < s.old.?minSamples.orValue(2000))
      ? 'shadow.minSamples is lower' : '',
      variables.shadow.exists(s,
      double(s.new.?maxExcessDisagreement.orValue('0.02')) > double(s.old.?maxExcessDisagreement.orValue('0.02')))
      ? 'shadow.maxExcessDisagreement is higher' : '',
      variables.shadow.exists(s, has(s.old.maxLatencyIncreasePercent)
      && (!has(s.new.maxLatencyIncreasePercent) || s.new.maxLatencyIncreasePercent > s.old.maxLatencyIncreasePercent))
      ? 'shadow.maxLatencyIncreasePercent is higher or removed' : '',
      has(variables.old.canary) && !has(variables.new.canary)
      ? 'canary is removed' : '',
      has(variables.new.canary) && variables.newSteps.size() < variables.oldSteps.size()
      ? 'canary.steps are fewer' : '',
      variables.steps.exists(s, s.new.weight > s.old.weight)
      ? 'the weight of a canary step is higher' : '',
      variables.steps.exists(s, s.new.?minRequests.orValue(0) < s.old.?minRequests.orValue(0))
      ? 'minRequests of a canary step is lower' : '',
      variables.steps.exists(s, s.new.?minSeconds.orValue(0) < s.old.?minSeconds.orValue(0))
      ? 'minSeconds of a canary step is lower' : '',
      has(variables.old.canary) && has(variables.new.canary)
      && variables.new.canary.?warmupSeconds.orValue(30) > variables.old.canary.?warmupSeconds.orValue(30)
      ? 'canary.warmupSeconds is higher' : '',
      variables.analysis.exists(a, a.new.size() == 0)
      ? 'an analysis is removed' : '',
      variables.kept.exists(a,
      has(a.old.margin) && has(a.new.margin) && double(a.new.margin) > double(a.old.margin))
      ? 'the margin of an analysis is higher' : '',
      variables.kept.exists(a,
      a.new.?maxIncreasePercent.orValue(20) > a.old.?maxIncreasePercent.orValue(20))
      ? 'maxIncreasePercent of an analysis is higher' : '',
      variables.kept.exists(a,
      has(a.old.min) && (!has(a.new.min) || double(a.new.min) < double(a.old.min))
      || has(a.old.max) && (!has(a.new.max) || double(a.new.max) > double(a.old.max)))
      ? 'the guardrail of an analysis is wider' : '',
      variables.kept.exists(a, a.new.type != a.old.type
      || double(a.new.?quantile.orValue('0.99')) != double(a.old.?quantile.orValue('0.99'))
      || a.new.?better.orValue('Lower') != a.old.?better.orValue('Lower')
      || a.new.?metricSourceRef.?name.orValue('') != a.old.?metricSourceRef.?name.orValue('')
      || a.new.?events.orValue('') != a.old.?events.orValue('') || a.new.?total.orValue('') != a.old.?total.orValue('')
      || a.new.?sum.orValue('') != a.old.?sum.orValue('') || a.new.?count.orValue('') != a.old.?count.orValue('')
      || a.new.?sumOfSquares.orValue('') != a.old.?sumOfSquares.orValue('')
      || a.new.?query.orValue('') != a.old.?query.orValue(''))
      ? 'an analysis measures something else' : '',
      variables.new.?onMissingEvidence.orValue('Hold') != variables.old.?onMissingEvidence.orValue('Hold')
      ? 'onMissingEvidence is another' : '',
      variables.risk[object.spec.?card.?risk.orValue('Minimal')]
      < variables.risk[oldObject.spec.?card.?risk.orValue('Minimal')]
      ? 'card.risk is lower' : ''
      ].filter(what, what != '')
  validations:
  - expression: >-
      variables.weaker.size() == 0 || authorizer.group('penstock.dev').resource('models').namespace(request.namespace)
      .name(object.metadata.name).check('relax').allowed()
    messageExpression: >-
      request.userInfo.username + ' may not relax the rules of model ' + object.metadata.name + ': '
      + variables.weaker.join(', ')
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-relax
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  policyName: penstock-relax
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: penstock-relax-gates
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: ["penstock.dev"]
      apiVersions: ["*"]
      operations: ["UPDATE", "DELETE"]
      resources: ["evaluationgates"]
  variables:
  - name: new
    expression: "request.operation == 'DELETE' ? {} : object.spec"
  - name: metrics
    expression: >-
      oldObject.spec.metrics.map(m, {'old': m, 'new': dyn(variables.new.?metrics.orValue([])
      .filter(n, n.name == m.name && n.?id.orValue('') == m.?id.orValue('')))})
  - name: kept
    expression: "variables.metrics.filter(m, m.new.size() == 1).map(m, {'old': m.old, 'new': m.new[0]})"
  - name: sliced
    expression: >-
      variables.kept.filter(m, has(m.old.slices) && has(m.new.slices))
      .map(m, {'old': m.old.slices, 'new': m.new.slices})
  - name: compared
    expression: >-
      variables.kept.filter(m, has(m.old.versusChampion) && has(m.new.versusChampion))
      .map(m, {'old': m.old.versusChampion, 'new': m.new.versusChampion})
  - name: fairness
    expression: >-
      has(oldObject.spec.fairness) && has(variables.new.fairness)
      ? [{'old': oldObject.spec.fairness, 'new': variables.new.fairness}] : []
  - name: strictness
    expression: "{'RequireApproval': 0, 'Hold': 1, 'Fail': 2}"
  # A gate that no Model names may go; one that is named would come back with other demands.
  - name: weaker
    expression: >-
      request.operation == 'DELETE'
      ? (oldObject.?status.?usedBy.orValue(0) > 0 ? ['it is deleted while a Model names it'] : [])
      : [
      variables.metrics.exists(m, m.new.size() == 0)
      ? 'a metric is removed' : '',
      variables.kept.exists(m, has(m.old.min) && (!has(m.new.min) || double(m.new.min) < double(m.old.min)))
      ? 'min of a metric is lower or removed' : '',
      variables.kept.exists(m, has(m.old.max) && (!has(m.new.max) || double(m.new.max) > double(m.old.max)))
      ? 'max of a metric is higher or removed' : '',
      variables.kept.exists(m, has(m.old.slices) && !has(m.new.slices))
      ? 'slices are removed' : '',
      variables.sliced.exists(s, s.old.by.exists(column, !(column in s.new.by)))
      ? 'a column of slices is removed' : '',
      variables.sliced.exists(s, s.new.?minSamples.orValue(100) > s.old.?minSamples.orValue(100))
      ? 'minSamples of slices is higher' : '',
      variables.sliced.exists(s, has(s.old.min) && (!has(s.new.min) || double(s.new.min) < double(s.old.min))
      || has(s.old.max) && (!has(s.new.max) || double(s.new.max) > double(s.old.max)))
      ? 'slices may be worse' : '',
      variables.sliced.exists(s, s.old.?required.orValue(false) && !s.new.?required.orValue(false))
      ? 'slices are no longer required' : '',
      variables.kept.exists(m, has(m.old.versusChampion) && !has(m.new.versusChampion))
      ? 'versusChampion is removed' : '',
      variables.compared.exists(c, double(c.new.maxRegression) > double(c.old.maxRegression))
      ? 'maxRegression is higher' : '',
      variables.compared.exists(c,
      has(c.old.absoluteMin) && (!has(c.new.absoluteMin) || double(c.new.absoluteMin) < double(c.old.absoluteMin))
      || has(c.old.absoluteMax) && (!has(c.new.absoluteMax) || double(c.new.absoluteMax) > double(c.old.absoluteMax)))
      ? 'the absolute bound of versusChampion is wider' : '',
      has(oldObject.spec.fairness) && !has(variables.new.fairness)
      ? 'fairness is removed' : '',
      variables.fairness.exists(f, f.old.protected.exists(column, !(column in f.new.protected)))
      ? 'a protected column is removed' : '',
      variables.fairness.exists(f, f.old.metrics.exists(m,
      !f.new.metrics.exists(n, n.name == m.name && double(n.max) <= double(m.max))))
      ? 'a fairness metric is removed or its max is higher' : '',
      has(oldObject.spec.latency) && (!has(variables.new.latency)
      || variables.new.latency.p99Milliseconds > oldObject.spec.latency.p99Milliseconds)
      ? 'latency is removed or may be higher' : '',
      double(variables.new.?confidence.orValue('0.95')) < double(oldObject.spec.?confidence.orValue('0.95'))
      ? 'confidence is lower' : '',
      variables.strictness[variables.new.?onInconclusive.orValue('Hold')]
      < variables.strictness[oldObject.spec.?onInconclusive.orValue('Hold')]
      ? 'onInconclusive is weaker' : '',
      variables.new.?dataset.orValue({}) != oldObject.spec.?dataset.orValue({})
      || variables.new.?label.orValue({}) != oldObject.spec.?label.orValue({})
      || variables.new.?output.orValue('') != oldObject.spec.?output.orValue('')
      || double(variables.new.?threshold.orValue('0.5')) != double(oldObject.spec.?threshold.orValue('0.5'))
      ? 'it is measured on something else (dataset, label, output or threshold)' : ''
      ].filter(what, what != '')
  validations:
  - expression: >-
      variables.weaker.size() == 0
      || request.userInfo.username in {{ list .Values.policies.garbageCollector .Values.policies.namespaceController | toJson }}
      || authorizer.group('penstock.dev').resource('evaluationgates').namespace(request.namespace)
      .name(oldObject.metadata.name).check('relax').allowed()
    messageExpression: >-
      request.userInfo.username + ' may not relax evaluation gate ' + oldObject.metadata.name + ': '
      + variables.weaker.join(', ')
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: penstock-relax-gates
  labels: {{- include "penstock.labels" . | nindent 4 }}
spec:
  policyName: penstock-relax-gates
  validationActions: [Deny]
{{- end }}

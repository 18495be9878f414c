{{- define "sfp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sfp.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "sfp.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sfp.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sfp.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sfp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sfp.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "sfp.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "sfp.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sfp.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* Ports of the service. With TLS, the ports of the TLS listeners replace the defaults. */}}
{{- define "sfp.ports" -}}
{{- range .Values.service.ports }}
{{- $port := .port }}
{{- if and $.Values.tls.enabled (eq (int .port) 8000) }}{{ $port = 8443 }}{{ end }}
{{- if and $.Values.tls.enabled (eq (int .port) 50051) }}{{ $port = 50052 }}{{ end }}
- name: {{ .name }}
  port: {{ $port }}
  targetPort: {{ .targetPort | default $port }}
  protocol: {{ .protocol | default "TCP" }}
{{- end }}
{{- end }}

{{- /* Helm reads numbers as floats: 1000000 would come out as 1e+06. */}}
{{- define "sfp.text" -}}
{{- if kindIs "invalid" . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{- define "sfp.managementName" -}}
{{- printf "%s-management" (include "sfp.fullname" . | trunc 52 | trimSuffix "-") }}
{{- end }}

{{- /* Variables that follow from other values than those of sfp. */}}
{{- define "sfp.ownEnv" -}}
{{- if .Values.sfp.config }}
- name: SFP_CONFIG
  value: /etc/statsig-forward-proxy/config/relay.yaml
{{- end }}
{{- if .Values.sdkKeys.secretName }}
- name: SFP_PRELOAD_SDK_KEYS
  value: "@/etc/statsig-forward-proxy/sdk-keys/{{ .Values.sdkKeys.secretKey }}"
{{- if .Values.sdkKeys.allowOnly }}
- name: SFP_ALLOWED_SDK_KEYS
  value: "@/etc/statsig-forward-proxy/sdk-keys/{{ .Values.sdkKeys.secretKey }}"
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- if not (or (hasKey (.Values.sfp.environment | default dict) "SFP_ENFORCE_TLS") (hasKey (.Values.sfp.config | default dict) "enforce-tls")) }}
- name: SFP_ENFORCE_TLS
  value: "true"
{{- end }}
- name: SFP_X509_SERVER_CERT_PATH
  value: /etc/statsig-forward-proxy/tls/tls.crt
- name: SFP_X509_SERVER_KEY_PATH
  value: /etc/statsig-forward-proxy/tls/tls.key
{{- with .Values.tls.clientCaKey }}
- name: SFP_X509_CLIENT_CERT_PATH
  value: /etc/statsig-forward-proxy/tls/{{ . }}
{{- end }}
{{- if .Values.tls.enforceMtls }}
- name: SFP_ENFORCE_MTLS
  value: "true"
{{- end }}
{{- end }}
{{- with .Values.managementToken.secretName }}
- name: SFP_MANAGEMENT_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.managementToken.secretKey }}
{{- end }}
{{- if .Values.bootstrap.volume }}
- name: SFP_BOOTSTRAP_PATH
  value: /etc/statsig-forward-proxy/bootstrap
{{- end }}
{{- if ne (toString .Values.servingThreads) "auto" }}
- name: SFP_SERVING_THREADS
  value: {{ include "sfp.text" .Values.servingThreads | quote }}
{{- end }}
{{- end }}

{{- define "sfp.env" -}}
{{- include "sfp.ownEnv" . | trim }}
{{- range $name, $value := .Values.sfp.environment }}
- name: {{ $name | quote }}
  value: {{ include "sfp.text" $value | quote }}
{{- end }}
{{- with .Values.sfp.environmentVariables }}
{{ toYaml . }}
{{- end }}
{{- range .Values.sfp.secrets }}
{{- if .envName }}
- name: {{ .envName }}
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: {{ .secretKey }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.givenVolumes" -}}
{{- concat (.Values.volumes | default list) (.Values.sfp.volumes | default list) | toYaml }}
{{- end }}

{{- /* Name of a volume of this chart. If a volume of the values has the name, it gets a prefix. */}}
{{- define "sfp.volumeName" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- range fromYamlArray (include "sfp.givenVolumes" $root) }}
{{- if eq .name (index $ 1) }}{{ $name = printf "relay-%s" .name }}{{ end }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "sfp.volumeMounts" -}}
- name: {{ include "sfp.volumeName" (list . "data") }}
  mountPath: /var/lib/statsig-forward-proxy
{{- if .Values.sfp.config }}
- name: {{ include "sfp.volumeName" (list . "config") }}
  mountPath: /etc/statsig-forward-proxy/config
  readOnly: true
{{- end }}
{{- if .Values.sdkKeys.secretName }}
- name: {{ include "sfp.volumeName" (list . "sdk-keys") }}
  mountPath: /etc/statsig-forward-proxy/sdk-keys
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: {{ include "sfp.volumeName" (list . "tls") }}
  mountPath: /etc/statsig-forward-proxy/tls
  readOnly: true
{{- end }}
{{- if .Values.bootstrap.volume }}
- name: {{ include "sfp.volumeName" (list . "bootstrap") }}
  mountPath: /etc/statsig-forward-proxy/bootstrap
  readOnly: true
{{- end }}
{{- with concat (.Values.volumeMounts | default list) (.Values.sfp.volumeMounts | default list) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sfp.volumes" -}}
- name: {{ include "sfp.volumeName" (list . "data") }}
{{- if .Values.data.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.data.existingClaim }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.data.sizeLimit }}
{{- end }}
{{- if .Values.sfp.config }}
- name: {{ include "sfp.volumeName" (list . "config") }}
  configMap:
    name: {{ include "sfp.fullname" . }}
{{- end }}
{{- if .Values.sdkKeys.secretName }}
- name: {{ include "sfp.volumeName" (list . "sdk-keys") }}
  secret:
    secretName: {{ .Values.sdkKeys.secretName }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: {{ include "sfp.volumeName" (list . "tls") }}
  secret:
    secretName: {{ .Values.tls.secretName }}
{{- end }}
{{- with .Values.bootstrap.volume }}
- name: {{ include "sfp.volumeName" (list $ "bootstrap") }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with fromYamlArray (include "sfp.givenVolumes" .) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Security context of the pod. Fields of a pod that the values have at the container move here: Kubernetes rejects them there. */}}
{{- define "sfp.podSecurityContext" -}}
{{- $moved := pick (.Values.securityContext | default dict) "fsGroup" "fsGroupChangePolicy" "supplementalGroups" "sysctls" }}
{{- merge $moved (.Values.pod.securityContext | default dict) | toYaml }}
{{- end }}

{{- define "sfp.containerSecurityContext" -}}
{{- omit (.Values.securityContext | default dict) "fsGroup" "fsGroupChangePolicy" "supplementalGroups" "sysctls" | toYaml }}
{{- end }}

{{- /* A probe with one handler: one of the values replaces the default, which Helm merges with it. */}}
{{- define "sfp.probe" -}}
{{- $probe := . }}
{{- if or .exec .grpc .tcpSocket }}{{ $probe = omit . "httpGet" }}{{ end }}
{{- toYaml $probe }}
{{- end }}

{{- /* The hooks of the container. The original's chart had a list here, which Helm does not merge with the default. */}}
{{- define "sfp.lifecycle" -}}
{{- $hooks := .Values.sfp.lifecycle }}
{{- if kindIs "slice" $hooks }}
{{- $listed := $hooks }}
{{- $hooks = dict "preStop" (dict "sleep" (dict "seconds" 5)) }}
{{- range $listed }}{{ $hooks = merge $hooks . }}{{ end }}
{{- end }}
{{- range $name, $handler := $hooks }}
{{- if $handler }}
{{ $name }}:
  {{- include "sfp.hook" (list $ $handler) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
A hook with one handler: one of the values replaces the default, which Helm merges with it. The image has no shell, so a command that
only sleeps becomes the sleep action, or before Kubernetes 1.30 the sleep of the image. Kubernetes rejects an action that is longer than
the grace period, but not a command.
*/}}
{{- define "sfp.hook" -}}
{{- $root := index . 0 }}
{{- $hook := index . 1 }}
{{- if or $hook.exec $hook.httpGet $hook.tcpSocket }}{{ $hook = omit $hook "sleep" }}{{ end }}
{{- $command := dig "exec" "command" list $hook | join " " }}
{{- $sleeps := "^((/\\S*/)?[a-z]*sh -[a-z]*c +)?(exec )?(/\\S*/)?sleep +([0-9]+)s? *;?$" }}
{{- $seconds := dig "sleep" "seconds" 0 $hook | int }}
{{- if regexMatch $sleeps $command }}{{ $seconds = regexReplaceAll $sleeps $command "${5}" | int }}{{ end }}
{{- $hasAction := semverCompare ">=1.30.0-0" $root.Capabilities.KubeVersion.Version }}
{{- /* 30 is the default of Kubernetes. */}}
{{- $graceSeconds := $root.Values.terminationGracePeriodSeconds | default 30 | int }}
{{- if and $hasAction (gt $seconds 0) (le $seconds $graceSeconds) }}
{{- $hook = dict "sleep" (dict "seconds" $seconds) }}
{{- else if or $hook.sleep (regexMatch $sleeps $command) }}
{{- $hook = dict "exec" (dict "command" (list "sleep" (toString $seconds))) }}
{{- end }}
{{- toYaml $hook }}
{{- end }}

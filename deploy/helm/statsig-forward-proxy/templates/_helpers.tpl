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
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "sfp.managementName" -}}
{{- printf "%s-management" (include "sfp.fullname" . | trunc 52 | trimSuffix "-") }}
{{- end }}

{{- define "sfp.env" -}}
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
- name: SFP_ENFORCE_TLS
  value: "true"
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
{{- range $name, $value := .Values.sfp.environment }}
- name: {{ $name }}
  value: {{ include "sfp.text" $value | quote }}
{{- end }}
{{- with .Values.sfp.environmentVariables }}
{{ toYaml . }}
{{- end }}
{{- range .Values.sfp.secrets }}
- name: {{ .envName }}
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: {{ .secretKey }}
{{- end }}
{{- end }}

{{- define "sfp.volumeMounts" -}}
- name: data
  mountPath: /var/lib/statsig-forward-proxy
{{- if .Values.sfp.config }}
- name: config
  mountPath: /etc/statsig-forward-proxy/config
  readOnly: true
{{- end }}
{{- if .Values.sdkKeys.secretName }}
- name: sdk-keys
  mountPath: /etc/statsig-forward-proxy/sdk-keys
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/statsig-forward-proxy/tls
  readOnly: true
{{- end }}
{{- with concat .Values.volumeMounts .Values.sfp.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sfp.volumes" -}}
- name: data
{{- if .Values.data.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.data.existingClaim }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.data.sizeLimit }}
{{- end }}
{{- if .Values.sfp.config }}
- name: config
  configMap:
    name: {{ include "sfp.fullname" . }}
{{- end }}
{{- if .Values.sdkKeys.secretName }}
- name: sdk-keys
  secret:
    secretName: {{ .Values.sdkKeys.secretName }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ required "tls.secretName names the secret with the certificate" .Values.tls.secretName }}
{{- end }}
{{- with concat .Values.volumes .Values.sfp.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

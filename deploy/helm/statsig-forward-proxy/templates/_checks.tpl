{{- /*
Rejects values that would make the relay serve more than intended, or not start, or that Kubernetes could not act on. What one value
alone shows, values.schema.json rejects.
*/ -}}
{{- define "sfp.check" -}}
{{- include "sfp.checkArguments" . }}
{{- include "sfp.checkVariables" . }}
{{- include "sfp.checkAccess" . }}
{{- include "sfp.checkTls" . }}
{{- include "sfp.checkPorts" . }}
{{- include "sfp.checkIngress" . }}
{{- include "sfp.checkStorage" . }}
{{- include "sfp.checkReplicas" . }}
{{- end }}

{{- define "sfp.checkArguments" -}}
{{- $names := fromJsonArray (include "sfp.optionNames" .) }}
{{- range .Values.sfp.args }}
{{- $name := trimPrefix "--" (first (splitList "=" (toString .))) }}
{{- if and (hasPrefix "--" (toString .)) (not (has $name $names)) }}
{{- fail (printf "sfp.args: --%s is not an option of this version of the relay. statsig-forward-proxy --help lists them" $name) }}
{{- end }}
{{- end }}
{{- with .Values.sfp.args }}
{{- $first := toString (first .) }}
{{- if not (or (hasPrefix "-" $first) (has $first (list "grpc-and-http" "grpc" "http" "offline" "demo"))) }}
{{- fail (printf "sfp.args begins with %q: expected a MODE, which is grpc-and-http, grpc or http" $first) }}
{{- end }}
{{- $second := "" }}
{{- if gt (len .) 1 }}{{ $second = toString (index . 1) }}{{ end }}
{{- if and (has $first (list "grpc-and-http" "grpc" "http")) $second (not (hasPrefix "-" $second)) (not (has $second (list "disabled" "local" "redis"))) }}
{{- fail (printf "sfp.args has %q after the MODE: expected a CACHE, which is disabled, local or redis" $second) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.checkVariables" -}}
{{- $names := keys (.Values.sfp.environment | default dict) | sortAlpha }}
{{- range .Values.sfp.environmentVariables }}{{ $names = append $names .name }}{{ end }}
{{- range .Values.sfp.secrets }}{{ $names = append $names (.envName | default "") }}{{ end }}
{{- $known := fromJsonArray (include "sfp.variableNames" .) }}
{{- range $names }}
{{- if and (hasPrefix "SFP_" .) (not (has . $known)) }}
{{- fail (printf "sfp: %s is not a variable of this version of the relay, which would ignore it. docs/configuration.md lists them" .) }}
{{- end }}
{{- end }}
{{- range fromYamlArray (include "sfp.ownEnv" . | trim) }}
{{- if has .name $names }}
{{- fail (printf "the variable %s is set in sfp, and by another value of the chart too. Kubernetes would keep the one in sfp only: remove one" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.checkAccess" -}}
{{- if and .Values.sdkKeys.allowOnly (not .Values.sdkKeys.secretName) }}
{{- fail "sdkKeys.allowOnly needs sdkKeys.secretName, the secret with the keys: without it, the relay would serve every SDK key" }}
{{- end }}
{{- $given := include "sfp.setting" (list . "allowed-sdk-keys") }}
{{- if and .Values.sdkKeys.allowOnly $given }}
{{- fail "sdkKeys.allowOnly and allowed-sdk-keys in sfp are both set: only one of the lists would count. Remove one" }}
{{- end }}
{{- if and (hasKey (.Values.sfp.environment | default dict) "SFP_ALLOWED_SDK_KEYS") (not $given) }}
{{- fail "sfp.environment.SFP_ALLOWED_SDK_KEYS is empty: the relay would serve every SDK key. Give it keys, or remove it" }}
{{- end }}
{{- end }}

{{- define "sfp.checkTls" -}}
{{- with .Values.tls }}
{{- if and (not .enabled) (or .secretName .clientCaKey .enforceMtls) }}
{{- fail "tls has settings, but tls.enabled is false: the relay would serve without TLS. Set tls.enabled=true, or remove them" }}
{{- end }}
{{- if and .enabled (not .secretName) }}
{{- fail "tls.enabled needs tls.secretName, the secret of type kubernetes.io/tls with the certificate and its key" }}
{{- end }}
{{- if and .enforceMtls (not .clientCaKey) }}
{{- fail "tls.enforceMtls needs tls.clientCaKey, the entry of the secret with the CAs of client certificates" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.checkPorts" -}}
{{- $open := fromJsonArray (include "sfp.openPorts" .) }}
{{- $names := list "management" }}
{{- $numbers := list }}
{{- range fromYamlArray (include "sfp.ports" .) }}
{{- if not (has (toString .targetPort) $open) }}
{{- fail (printf "service.ports: %s leads to port %v of the relay, which listens on %s. Set targetPort to one of them, or the relay's option to it" .name .targetPort (join ", " $open)) }}
{{- end }}
{{- if or (has .name $names) (has .port $numbers) }}
{{- fail (printf "service.ports: the name %s or the port %v is there twice. The name management belongs to port 8001" .name .port) }}
{{- end }}
{{- $names = append $names .name }}
{{- $numbers = append $numbers .port }}
{{- end }}
{{- $management := last $open }}
{{- if ne $management "8001" }}
{{- range $name := list "livenessProbe" "readinessProbe" "startupProbe" }}
{{- $port := dig "httpGet" "port" "" (get $.Values.sfp $name | default dict) }}
{{- if has (include "sfp.text" $port) (list "management" "8001") }}
{{- fail (printf "sfp.%s asks port 8001, but management-port is %s. Leave management-port at 8001, which is separate in each pod" $name $management) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.checkIngress" -}}
{{- if .Values.ingress.enabled }}
{{- $ports := fromYamlArray (include "sfp.ports" .) }}
{{- $names := list }}
{{- $numbers := list }}
{{- range $ports }}{{ $names = append $names .name }}{{ $numbers = append $numbers (toString .port) }}{{ end }}
{{- range .Values.ingress.hosts }}
{{- range .paths }}
{{- if and .portName (not (has .portName $names)) }}
{{- fail (printf "ingress.hosts: the service has no port with the name %s. It has %s" .portName (join ", " $names)) }}
{{- else if and .port (not .portName) (not (has (include "sfp.text" .port) $numbers)) }}
{{- fail (printf "ingress.hosts: the service has no port %v. It has %s" .port (join ", " $numbers)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sfp.checkStorage" -}}
{{- $cache := include "sfp.cache" . }}
{{- $address := "" }}
{{- range list "REDIS_URL" "REDIS_ENTERPRISE_HOST" }}
{{- $address = $address | default (include "sfp.variable" (list $ .)) }}
{{- end }}
{{- if and (eq $cache "redis") (not $address) (not .Values.sfp.envFromSecret) }}
{{- fail "CACHE is redis, but there is no address of Redis: set sfp.environment.REDIS_ENTERPRISE_HOST, or REDIS_URL from a secret in sfp.secrets" }}
{{- end }}
{{- if and (ne $cache "redis") (has (include "sfp.setting" (list . "fleet-polling")) (list "true" "1")) }}
{{- fail (printf "--fleet-polling needs CACHE redis, which the relays of a fleet share, but CACHE is %s" $cache) }}
{{- end }}
{{- $most := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicaCount | int }}
{{- if and .Values.data.existingClaim (gt $most 1) }}
{{- fail (printf "data.existingClaim is for one relay, since no two can use the same files, but there may be %d. Set replicaCount=1, without autoscaling; or use CACHE redis for several relays" $most) }}
{{- end }}
{{- end }}

{{- define "sfp.checkReplicas" -}}
{{- $least := int .Values.replicaCount }}
{{- if .Values.autoscaling.enabled }}
{{- with .Values.autoscaling }}
{{- $least = int .minReplicas }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas is %d, above autoscaling.maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling has no target: set autoscaling.targetCPUUtilizationPercentage or targetMemoryUtilizationPercentage" }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.pod.pdb }}
{{- $min := include "sfp.text" .minAvailable }}
{{- $max := include "sfp.text" .maxUnavailable }}
{{- if and .enabled $min $max }}
{{- fail "pod.pdb has minAvailable and maxUnavailable: Kubernetes allows one of them" }}
{{- end }}
{{- /* Kubernetes rounds a percentage up. */}}
{{- $kept := hasSuffix "%" $min | ternary (div (add (mul (trimSuffix "%" $min | int) $least) 99) 100) (int $min) | int }}
{{- if and .enabled (or (has $max (list "0" "0%")) (and $min (gt $least 0) (ge $kept $least))) }}
{{- fail (printf "pod.pdb allows no eviction with %d replicas, so no node could be drained: lower minAvailable, set maxUnavailable=1, or pod.pdb.enabled=false" $least) }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
Settings of the relay as the pod will have them, for _checks.tpl. Arguments override variables, which override sfp.config. A value that a
secret or valueFrom holds is unknown here.
*/ -}}

{{- /* The value of an option, given its name: (list $ "http-port"). Empty if it is not given, or is unknown. A flag without a value is true. */ -}}
{{- define "sfp.setting" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $flag := printf "--%s" $name }}
{{- $isFlag := has $name (fromJsonArray (include "sfp.flagNames" $root)) }}
{{- $found := "" }}
{{- with $root.Values.sfp.config }}{{ if hasKey . $name }}{{ $found = include "sfp.text" (get . $name) }}{{ end }}{{ end }}
{{- with include "sfp.variable" (list $root (printf "SFP_%s" ($name | upper | replace "-" "_"))) }}{{ $found = . }}{{ end }}
{{- $args := $root.Values.sfp.args | default list }}
{{- range $at, $arg := $args }}
{{- $text := include "sfp.text" $arg }}
{{- if hasPrefix (printf "%s=" $flag) $text }}
{{- $found = trimPrefix (printf "%s=" $flag) $text }}
{{- else if and (eq $text $flag) $isFlag }}
{{- $found = "true" }}
{{- else if and (eq $text $flag) (lt (int (add $at 1)) (len $args)) }}
{{- $found = include "sfp.text" (index $args (int (add $at 1))) }}
{{- end }}
{{- end }}
{{- $found }}
{{- end }}

{{- /* The value of a variable: (list $ "REDIS_URL"). "(unknown)" if a secret or valueFrom holds it. */ -}}
{{- define "sfp.variable" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $found := "" }}
{{- with $root.Values.sfp.environment }}{{ if hasKey . $name }}{{ $found = include "sfp.text" (get . $name) }}{{ end }}{{ end }}
{{- range $root.Values.sfp.environmentVariables }}
{{- if eq .name $name }}{{ $found = hasKey . "value" | ternary (toString .value) "(unknown)" }}{{ end }}
{{- end }}
{{- range $root.Values.sfp.secrets }}{{ if eq (.envName | default "") $name }}{{ $found = "(unknown)" }}{{ end }}{{ end }}
{{- $found }}
{{- end }}

{{- /* CACHE: an argument, else a setting, else the default of the image. */ -}}
{{- define "sfp.cache" -}}
{{- $cache := include "sfp.setting" (list . "cache") | default "local" }}
{{- range .Values.sfp.args }}
{{- if has (toString .) (list "disabled" "local" "redis") }}{{ $cache = toString . }}{{ end }}
{{- end }}
{{- $cache }}
{{- end }}

{{- /* The ports on which the relay would listen in the mode grpc-and-http, and the management port, as a JSON array of texts. */ -}}
{{- define "sfp.openPorts" -}}
{{- $isSecure := or .Values.tls.enabled (include "sfp.setting" (list . "x509-server-cert-path")) }}
{{- $enforced := include "sfp.setting" (list . "enforce-tls") | default (toString .Values.tls.enabled) }}
{{- $ports := list }}
{{- if or (not $isSecure) (has $enforced (list "false" "0")) }}
{{- $ports = append $ports (include "sfp.setting" (list . "http-port") | default "8000") }}
{{- $ports = append $ports (include "sfp.setting" (list . "grpc-port") | default "50051") }}
{{- end }}
{{- if $isSecure }}
{{- $ports = append $ports (include "sfp.setting" (list . "https-port") | default "8443") }}
{{- $ports = append $ports (include "sfp.setting" (list . "grpcs-port") | default "50052") }}
{{- end }}
{{- append $ports (include "sfp.setting" (list . "management-port") | default "8001") | toJson }}
{{- end }}

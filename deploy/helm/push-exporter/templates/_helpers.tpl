{{/*
Names, labels, the configuration as it is written into the ConfigMap, and what is refused at rendering.
*/}}

{{- define "push-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{/*
48 characters at most: the pods of a StatefulSet carry its name and a hash of eleven in a label of 63, and the longest suffix
of other objects has fourteen.
*/}}
{{- define "push-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "push-exporter.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "push-exporter.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "push-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "push-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "push-exporter.labels" -}}
{{ include "push-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/*
All labels of an object: of root the chart's own and commonLabels, over them those of more. Merged, since a key that stands
twice is an error.
*/}}
{{- define "push-exporter.allLabels" -}}
{{- $own := fromYaml (include "push-exporter.labels" .root) -}}
{{- toYaml (mergeOverwrite (dict) .root.Values.commonLabels (.more | default dict) $own) -}}
{{- end -}}

{{- define "push-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "push-exporter.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "push-exporter.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{- printf "%s:%s@%s" .Values.image.repository $tag .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/*
The job of what is scraped. Rules and dashboards tell environments apart by it, and the operator's own default, the name of
the Service, is the same for a release of the same name in every namespace.
*/}}
{{- define "push-exporter.job" -}}
{{- .Values.serviceMonitor.job | default (printf "%s/%s" .Release.Namespace (include "push-exporter.fullname" .)) -}}
{{- end -}}

{{/*
What a ServiceMonitor and a PodMonitor say alike: of the object, and of its endpoint.
*/}}
{{- define "push-exporter.monitor" -}}
{{- with .Values.serviceMonitor.sampleLimit }}
sampleLimit: {{ int . }}
{{- end }}
{{- with .Values.serviceMonitor.scrapeProtocols }}
scrapeProtocols:
  {{- toYaml . | nindent 2 }}
{{- end }}
selector:
  matchLabels:
    {{- include "push-exporter.selectorLabels" . | nindent 4 }}
namespaceSelector:
  matchNames:
    - {{ .Release.Namespace }}
{{- end -}}

{{- define "push-exporter.endpoint" -}}
port: metrics
path: {{ .Values.serviceMonitor.path }}
# The label app is the exporter's: without this it would arrive as exported_app where a target has one too.
honorLabels: true
{{- with .Values.serviceMonitor.interval }}
interval: {{ . }}
{{- end }}
{{- with .Values.serviceMonitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
scheme: {{ .Values.serviceMonitor.scheme }}
{{- with .Values.serviceMonitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.serviceMonitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Relabelling of targets, then what values add to it.
*/}}
{{- define "push-exporter.relabelings" -}}
# Rules and dashboards tell environments apart by the job.
- targetLabel: job
  replacement: {{ include "push-exporter.job" . | quote }}
# Counters live on in the ledger when the pod gets another address, so their series do too.
- sourceLabels: [__meta_kubernetes_pod_name]
  targetLabel: instance
{{- with .Values.serviceMonitor.relabelings }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "push-exporter.config" -}}
{{- toYaml (mergeOverwrite (dict "ledger" "sqlite:/var/lib/push-exporter/push-exporter.db") (deepCopy .Values.config)) -}}
{{- end -}}

{{/*
"true" if the ledger is a PostgreSQL database, which replicas share.
*/}}
{{- define "push-exporter.shared" -}}
{{- if regexMatch "^postgres(ql)?:" (.Values.config.ledger | default "") -}}true{{- end -}}
{{- end -}}

{{/*
The text of a rule file, with the thresholds and the starts of its links. In the files thresholds are <<NAME>>, and links begin
with external labels of Prometheus, as rule files on a Prometheus of their own want; what is not given stays one.
*/}}
{{- define "push-exporter.ruleText" -}}
{{- $text := .text -}}
{{- range $name, $value := .values.thresholds -}}
{{- $text = replace (printf "<<%s>>" $name) (toString $value) $text -}}
{{- end -}}
{{- with regexFind "<<[A-Za-z]+>>" $text -}}
{{- fail (printf "prometheusRule.thresholds has no %s" .) -}}
{{- end -}}
{{- with tpl .values.links.grafana .root -}}
{{- $text = replace "{{ $externalLabels.grafana }}" (trimSuffix "/" .) $text -}}
{{- end -}}
{{- with tpl .values.links.runbooks .root -}}
{{- $text = replace "{{ $externalLabels.runbooks }}" (trimSuffix "/" .) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/*
No secret stands in values: they are kept with the release and in whatever repository they come from. The schema does not look
for this, since its errors would tell the secret.
*/}}
{{- define "push-exporter.noSecrets" -}}
{{- $where := .where -}}
{{- range $key, $value := .settings -}}
{{- $secret := regexMatch "(^|_)(secret|token|password|api_key)$" $key -}}
{{- if and $secret (not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" (toString $value))) -}}
{{- fail (printf "config, %s: %s is given as text. Put it into a Secret, name that in secrets, and write %s_file: secrets/NAME here." $where $key $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Two objects that lead Prometheus to the same pods would scrape them twice, and every sum would be double.
*/}}
{{- define "push-exporter.oneMonitor" -}}
{{- $on := list -}}
{{- range $name := list "serviceMonitor" "podMonitor" "vmServiceScrape" -}}
{{- if (index $.Values $name).enabled -}}{{- $on = append $on $name -}}{{- end -}}
{{- end -}}
{{- if gt (len $on) 1 -}}
{{- fail (printf "%s are enabled: the same pods would be scraped more than once. Enable one of them." (join " and " $on)) -}}
{{- end -}}
{{- end -}}

{{/*
What a schema of values cannot say. The exporter would refuse most of it too, but in the log of a pod that does not start.
*/}}
{{- define "push-exporter.validate" -}}
{{- $config := .Values.config -}}
{{- $apps := list -}}
{{- range $config -}}{{- if kindIs "slice" . -}}{{- $apps = concat $apps . -}}{{- end -}}{{- end -}}
{{- if .Values.demo.enabled -}}
{{- if $config -}}
{{- fail "demo.enabled and config exclude each other: the demo has its own configuration. Take one of them out." -}}
{{- end -}}
{{- else -}}
{{- if not $apps -}}
{{- fail "config has no app. Give at least one under the name of its provider, such as config.jpush (the chart's README has an example), or set demo.enabled=true to try it with simulated providers." -}}
{{- end -}}
{{- range $key, $section := $config -}}
{{- if kindIs "map" $section -}}
{{- include "push-exporter.noSecrets" (dict "where" $key "settings" $section) -}}
{{- end -}}
{{- end -}}
{{- range $app := $apps -}}
{{- include "push-exporter.noSecrets" (dict "where" (printf "app %s" $app.app) "settings" $app) -}}
{{- end -}}
{{- $text := toYaml $config -}}
{{- $files := list -}}
{{- range .Values.secrets -}}{{- $files = append $files .name -}}{{- end -}}
{{- if ne (len $files) (len (uniq $files)) -}}
{{- fail "secrets: a name stands twice. Each is the name of a file." -}}
{{- end -}}
{{- range regexFindAll "_file: [\"']?secrets/[^\\s\"']+" $text -1 -}}
{{- $name := regexReplaceAll "^.*secrets/" . "" -}}
{{- if not (has $name $files) -}}
{{- fail (printf "config names the file secrets/%s, but secrets has no entry with name: %s." $name $name) -}}
{{- end -}}
{{- end -}}
{{- $variables := list -}}
{{- range .Values.env -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- range .Values.extraEnv -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- range regexFindAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" $text -1 -}}
{{- $name := . | trimPrefix "${" | trimSuffix "}" -}}
{{- if not (has $name $variables) -}}
{{- fail (printf "config uses ${%s}, but env has no entry with name: %s." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $shared := include "push-exporter.shared" . -}}
{{- if and (gt (int .Values.replicas) 1) (not $shared) -}}
{{- fail "replicas is above 1, which needs config.ledger: postgres://…; with a SQLite ledger each replica would poll and count everything. Set config.ledger, or replicas: 1." -}}
{{- end -}}
{{- if regexMatch "^postgres(ql)?://[^/@]*:[^/@]*@" (.Values.config.ledger | default "") -}}
{{- fail "config, ledger: the password is given as text. Put it into a Secret, and name that in env as PGPASSWORD." -}}
{{- end -}}
{{- if and $shared .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- fail "networkPolicy.extraEgress is empty, so the database could not be reached. Name it, for example [{to: [{ipBlock: {cidr: 10.0.0.5/32}}], ports: [{port: 5432, protocol: TCP}]}]." -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- fail "networkPolicy.metricsFrom is empty, so Prometheus could not scrape. Name who may, for example [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]." -}}
{{- end -}}
{{- end -}}

{{/* The name of a version's SpinApp, and so of its Deployment and its Service. */}}
{{- define "hello.app" -}}
hello-{{ .name }}
{{- end }}

{{/*
The name of a version's smoke test. The pods of a Job cannot be changed, so a Job whose pods differ
is another one: its name has the digest of all that they are and run.
Called with (list . VERSION).
*/}}
{{- define "hello.smokeTest" -}}
{{- $root := index . 0 }}
{{- $what := print (include "hello.smokeTestPod" .) ($root.Files.Get "files/smoke.sh") }}
{{- include "hello.app" (index . 1) }}-smoke-{{ sha256sum $what | trunc 8 }}
{{- end }}

{{- define "hello.labels" -}}
app.kubernetes.io/name: hello
app.kubernetes.io/part-of: hello
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/*
What comes before what. Helm knows hooks, which it waits for, and makes all else at once; Argo CD
knows waves. A hook of Helm's is also one of Argo CD's, so there is one of the two.
Called with (list . STEP); the steps are, in their order: `config` and `base` (what the migrations
need), `database`, `migrations`, `version`, `smoke-test`, `switch`.
*/}}
{{- define "hello.step" -}}
{{- $root := index . 0 }}
{{- $step := index . 1 }}
{{- if eq $root.Values.delivery "argocd" }}
{{- $waves := dict "config" "-4" "base" "-4" "database" "-3" "migrations" "-2" "version" "-1" "smoke-test" "0" "switch" "1" }}
argocd.argoproj.io/sync-wave: {{ get $waves $step | quote }}
{{- if eq $step "migrations" }}
argocd.argoproj.io/hook: Sync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
{{- end }}
{{- else if eq $step "base" }}
{{- /* What the migrations need. It stays until the next one is made. */}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation
{{- else if eq $step "database" }}
{{- /* Made once, and never deleted by a delivery. */}}
helm.sh/resource-policy: keep
{{- else if and (eq $step "migrations") (not (include "hello.firstMigrations" $root)) }}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: "-5"
helm.sh/hook-delete-policy: before-hook-creation
{{- end }}
{{- end }}

{{/*
Whether Helm installs the database as well, and the migrations wait for it. They are no hook then:
there is no database before the install, and after it would be too late. `--wait` and
`--wait-for-jobs` come before a post-install hook, and what they wait for, pods that are ready and
smoke tests, needs the tables.
*/}}
{{- define "hello.firstMigrations" -}}
{{- if and (eq .Values.delivery "helm") .Values.postgres.cluster.enabled .Release.IsInstall }}true{{ end }}
{{- end }}

{{/* `annotations:` of a step and of the values, or nothing. Called with (list . STEP [VALUES]). */}}
{{- define "hello.annotations" -}}
{{- $values := dict }}
{{- if gt (len .) 2 }}
{{- $values = index . 2 }}
{{- end }}
{{- with merge (include "hello.step" . | fromYaml) $values -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "hello.postgresHost" -}}
{{ ternary "hello-db-rw" .Values.postgres.host .Values.postgres.cluster.enabled }}
{{- end }}

{{- define "hello.ownerSecret" -}}
{{ ternary "hello-db-app" "hello-database-owner" .Values.postgres.cluster.enabled }}
{{- end }}

{{/* The certificates that Postgres's own is checked against. */}}
{{- define "hello.caSecret" -}}
{{ .Values.executor.caSecret }}
{{- end }}

{{/* libpq's environment for the role that owns the database. */}}
{{- define "hello.ownerEnvironment" -}}
- name: PGHOST
  value: {{ include "hello.postgresHost" . | quote }}
- name: PGPORT
  value: {{ .Values.postgres.port | quote }}
- name: PGDATABASE
  value: {{ .Values.postgres.database | quote }}
{{- /* libpq's `require` checks no certificate; Spin's does. */}}
- name: PGSSLMODE
  value: {{ ternary "verify-full" "disable" (eq .Values.postgres.sslmode "require") }}
{{- if eq .Values.postgres.sslmode "require" }}
- name: PGSSLROOTCERT
  value: {{ ternary "/certificates/ca-certificates.crt" "system" (ne (include "hello.caSecret" .) "") }}
{{- end }}
- name: PGUSER
  valueFrom:
    secretKeyRef:
      name: {{ include "hello.ownerSecret" . }}
      key: username
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "hello.ownerSecret" . }}
      key: password
{{- end }}

{{- define "hello.certificatesMount" -}}
{{- if include "hello.caSecret" . }}
- name: certificates
  mountPath: /certificates
  readOnly: true
{{- end }}
{{- end }}

{{- define "hello.certificatesVolume" -}}
{{- with include "hello.caSecret" . }}
- name: certificates
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}

{{/* A pod of ours: nobody, and nothing that it could write to but what is mounted. */}}
{{- define "hello.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "hello.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Defaults within a list, which Argo CD compares as a whole. */}}
{{- define "hello.remoteDefaults" -}}
conversionStrategy: Default
decodingStrategy: None
metadataPolicy: None
{{- end }}

{{/* What backs a key-value label. Called with the label's name and values. */}}
{{- define "hello.keyValueStore" -}}
- name: {{ .name }}
  type: {{ .type }}
  {{- with .options }}
  options:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Names of the versions. */}}
{{- define "hello.names" -}}
{{- $names := list }}
{{- range .Values.versions }}
{{- $names = append $names .name }}
{{- end }}
{{- join ", " $names }}
{{- end }}

{{/*
The Secret with the whole runtime config, if `variables` asks for one. A config that differs has a Secret
of another name, so no pod starts with an old one.
*/}}
{{- define "hello.runtimeSecret" -}}
{{- if eq .Values.variables "runtimeConfig" -}}
hello-runtime-{{ include "hello.runtimeConfig" (list . "") | sha256sum | trunc 8 }}
{{- end }}
{{- end }}

{{/* runtime-config.toml. A JSON string is one of TOML. Called with (list . PASSWORD), which is TOML. */}}
{{- define "hello.runtimeConfig" -}}
{{- $root := index . 0 -}}
# In memory, and not used: the users are in Postgres.
[key_value_store.default]
type = "spin"

[key_value_store.metrics]
type = {{ toJson $root.Values.metrics.type }}
{{- range $root.Values.metrics.options }}
{{ .name }} = {{ toJson .value }}
{{- end }}

[[variables_provider]]
type = "static"

[variables_provider.values]
store = "postgres"
log_level = {{ toJson $root.Values.logLevel }}
postgres_host = {{ include "hello.postgresHost" $root | trim | toJson }}
postgres_port = {{ toString $root.Values.postgres.port | toJson }}
postgres_database = {{ toJson $root.Values.postgres.database }}
postgres_user = "hello"
postgres_password = {{ index . 1 }}
postgres_sslmode = {{ toJson $root.Values.postgres.sslmode }}
{{- end }}

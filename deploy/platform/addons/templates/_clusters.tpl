{{- /*
The stage of each cluster that there is, by its name: clusters/ has a file of facts for each.
*/}}
{{- define "clusters" }}
{{- range $path, $_ := .Files.Glob "clusters/*.yaml" }}
{{- with ($.Files.Get $path | fromYaml).cluster }}
{{ .name }}: {{ .stage }}
{{- end }}
{{- end }}
{{- end }}

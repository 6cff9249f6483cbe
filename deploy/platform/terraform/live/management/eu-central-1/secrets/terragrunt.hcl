include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "secrets" {
  path           = find_in_parent_folders("_envcommon/secrets.hcl")
  merge_strategy = "deep"
}

inputs = {
  names = ["platform/argocd", "platform/atlantis", "platform/grafana", "platform/telemetry-tenants"]
}

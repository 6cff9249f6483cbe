include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//secrets"
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { secrets = "mock" }
  }
}

inputs = {
  account = include.root.locals.account
  key_arn = dependency.keys.outputs.arns.secrets
  names = [
    "platform/alertmanager",
    "platform/argocd",
    "platform/datadog",
    "platform/elasticsearch",
    "platform/grafana",
    "platform/influxdb",
    "platform/telemetry",
    "platform/telemetry-tenants",
  ]
  readers = [
    "${include.root.locals.place.cluster}-external-secrets",
  ]
}

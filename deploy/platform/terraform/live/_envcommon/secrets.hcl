locals {
  stage    = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals
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
  account = local.accounts[local.stage.name]
  key_arn = dependency.keys.outputs.arns.secrets
  names = [
    "platform/alertmanager",
    "platform/datadog",
    "platform/elasticsearch",
    "platform/grafana-cloud",
    "platform/influxdb",
    "platform/telemetry",
  ]
  readers = [
    "${local.place.cluster}-external-secrets",
  ]
}

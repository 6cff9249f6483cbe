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

dependency "keys_of_copies" {
  config_path = "../../eu-west-1/keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { secrets = "mock" }
  }
}

inputs = {
  account = include.root.locals.account
  key_arn = dependency.keys.outputs.arns.secrets
  names = [
    "hello/database",
    "hello/database-owner",
    "hello/postgres-ca",
    "platform/alertmanager",
    "platform/datadog",
    "platform/elasticsearch",
    "platform/influxdb",
    "platform/telemetry",
  ]
  # Terraform reads the password of the database's owner when it makes the database.
  readers = [
    "production-eu-central-1-external-secrets",
    "production-eu-west-1-external-secrets",
    "hello-terraform",
  ]
  replicas = { eu-west-1 = dependency.keys_of_copies.outputs.arns.secrets }
}

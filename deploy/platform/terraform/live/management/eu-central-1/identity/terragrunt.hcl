include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "identity" {
  path           = find_in_parent_folders("_envcommon/identity.hcl")
  merge_strategy = "deep"
}

dependency "logs" {
  config_path = "../logs"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

dependency "metrics" {
  config_path = "../metrics"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

locals {
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals
}

inputs = {
  components = ["argocd", "atlantis", "capa", "loki", "mimir"]
  buckets = {
    logs = {
      name    = dependency.logs.outputs.name
      region  = dependency.logs.outputs.region
      key_arn = dependency.logs.outputs.key_arn
    }
    metrics = {
      name    = dependency.metrics.outputs.name
      region  = dependency.metrics.outputs.region
      key_arn = dependency.metrics.outputs.key_arn
    }
  }
  visited = {
    dev                     = local.accounts.dev
    canary                  = local.accounts.canary
    production-eu-central-1 = local.accounts.production
    production-eu-west-1    = local.accounts.production
  }
  terraform_accounts = values(local.accounts)
}

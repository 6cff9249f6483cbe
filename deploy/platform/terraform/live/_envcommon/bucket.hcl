locals {
  stage    = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals

  # The unit's directory: backups, or backups-replica; logs and metrics have a key of their own.
  name    = basename(get_terragrunt_dir())
  purpose = startswith(local.name, "backups") ? "backups" : "storage"
}

terraform {
  source = "../../../../modules//bucket"
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { backups = "mock", storage = "mock" }
  }
}

inputs = {
  name    = "example-${local.stage.name}-hello-${local.name}"
  account = local.accounts[local.stage.name]
  region  = local.place.region
  key_arn = dependency.keys.outputs.arns[local.purpose]
}

locals {
  place = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
}

terraform {
  source = "../../../../modules//network"
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { logs = "mock" }
  }
}

inputs = {
  name         = local.place.cluster
  region       = local.place.region
  cidr         = local.place.cidr
  nat_per_zone = false
  logs_key_arn = dependency.keys.outputs.arns.logs
}

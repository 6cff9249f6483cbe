locals {
  place = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
}

terraform {
  source = "../../../../modules//database"
}

dependency "network" {
  config_path = "../network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    vpc_id              = "mock"
    database_subnet_ids = ["mock"]
    private_cidr_blocks = ["10.0.0.0/19"]
  }
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { database = "mock", logs = "mock" }
  }
}

dependency "secrets" {
  config_path = "../secrets"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { "hello/database-owner" = "mock" }
  }
}

inputs = {
  region         = local.place.region
  engine_version = "17.7"
  owner_secret   = dependency.secrets.outputs.arns["hello/database-owner"]
  network = {
    vpc_id     = dependency.network.outputs.vpc_id
    subnet_ids = dependency.network.outputs.database_subnet_ids
  }
  clients      = dependency.network.outputs.private_cidr_blocks
  key_arn      = dependency.keys.outputs.arns.database
  logs_key_arn = dependency.keys.outputs.arns.logs
}

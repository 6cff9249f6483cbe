include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
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

dependency "other_network" {
  config_path = "../../eu-west-1/network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
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
  identifier     = "hello"
  region         = include.root.locals.place.region
  engine_version = "17.7"
  instance_class = "db.r7g.xlarge"
  storage        = { first = 100, most = 500 }
  backup_days    = 35
  owner_secret   = dependency.secrets.outputs.arns["hello/database-owner"]
  network = {
    vpc_id     = dependency.network.outputs.vpc_id
    subnet_ids = dependency.network.outputs.database_subnet_ids
  }
  # Pods of both regions write to the one database.
  clients = concat(dependency.network.outputs.private_cidr_blocks, dependency.other_network.outputs.private_cidr_blocks)
  # Two regions with 12 pods a version, and two versions at a swap.
  pods         = 48
  key_arn      = dependency.keys.outputs.arns.database
  logs_key_arn = dependency.keys.outputs.arns.logs
}

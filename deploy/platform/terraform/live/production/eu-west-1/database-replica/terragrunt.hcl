include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//database-replica"
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
  config_path = "../../eu-central-1/network"

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

dependency "database" {
  config_path = "../../eu-central-1/database"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arn = "arn:aws:rds:eu-central-1:mock:db:mock"
  }
}

inputs = {
  identifier     = "hello-replica"
  region         = include.root.locals.place.region
  source_arn     = dependency.database.outputs.arn
  instance_class = "db.r7g.xlarge"
  storage_most   = 500
  backup_days    = 35
  network = {
    vpc_id     = dependency.network.outputs.vpc_id
    subnet_ids = dependency.network.outputs.database_subnet_ids
  }
  # After a promotion, pods of both regions write to it.
  clients = concat(dependency.network.outputs.private_cidr_blocks, dependency.other_network.outputs.private_cidr_blocks)
  # Two regions with 12 pods a version, and two versions at a swap.
  pods         = 48
  key_arn      = dependency.keys.outputs.arns.database
  logs_key_arn = dependency.keys.outputs.arns.logs
  email        = "platform@example.com"
}

# Pods here reach the Postgres that writes, wherever it is.

include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//peering"
}

dependency "network" {
  config_path = "../network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    vpc_id                  = "mock"
    private_cidr_blocks     = ["10.0.0.0/19"]
    private_route_table_ids = { mock = "mock" }
    database_cidr_blocks    = ["10.0.128.0/22"]
    database_route_table_id = "mock"
  }
}

dependency "other_network" {
  config_path = "../../eu-central-1/network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    vpc_id                  = "mock"
    private_cidr_blocks     = ["10.0.0.0/19"]
    private_route_table_ids = { mock = "mock" }
    database_cidr_blocks    = ["10.0.128.0/22"]
    database_route_table_id = "mock"
  }
}

inputs = {
  name = "production-eu-west-1 and production-eu-central-1"
  requester = {
    vpc_id                  = dependency.network.outputs.vpc_id
    private_route_table_ids = dependency.network.outputs.private_route_table_ids
    private_cidr_blocks     = dependency.network.outputs.private_cidr_blocks
    database = {
      route_table_id = dependency.network.outputs.database_route_table_id
      cidr_blocks    = dependency.network.outputs.database_cidr_blocks
    }
  }
  accepter = {
    vpc_id                  = dependency.other_network.outputs.vpc_id
    private_route_table_ids = dependency.other_network.outputs.private_route_table_ids
    private_cidr_blocks     = dependency.other_network.outputs.private_cidr_blocks
    database = {
      route_table_id = dependency.other_network.outputs.database_route_table_id
      cidr_blocks    = dependency.other_network.outputs.database_cidr_blocks
    }
  }
  accepter_account  = include.root.locals.account
  accepter_region   = "eu-central-1"
  accepter_role_arn = "arn:aws:iam::${include.root.locals.account}:role/hello-terraform"
}

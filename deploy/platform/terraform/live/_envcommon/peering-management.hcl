locals {
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals
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
  }
}

dependency "management" {
  config_path = "../../../management/eu-central-1/network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    vpc_id                  = "mock"
    private_cidr_blocks     = ["10.0.0.0/19"]
    private_route_table_ids = { mock = "mock" }
  }
}

inputs = {
  name = "${local.place.cluster} and management"
  requester = {
    vpc_id                  = dependency.network.outputs.vpc_id
    private_route_table_ids = dependency.network.outputs.private_route_table_ids
    private_cidr_blocks     = dependency.network.outputs.private_cidr_blocks
  }
  accepter = {
    vpc_id                  = dependency.management.outputs.vpc_id
    private_route_table_ids = dependency.management.outputs.private_route_table_ids
    private_cidr_blocks     = dependency.management.outputs.private_cidr_blocks
  }
  accepter_account  = local.accounts.management
  accepter_region   = "eu-central-1"
  accepter_role_arn = "arn:aws:iam::${local.accounts.management}:role/hello-terraform"
}

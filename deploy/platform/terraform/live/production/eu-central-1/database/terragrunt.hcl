include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "database" {
  path           = find_in_parent_folders("_envcommon/database.hcl")
  merge_strategy = "deep"
}

dependency "other_network" {
  config_path = "../../eu-west-1/network"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    private_cidr_blocks = ["10.0.0.0/19"]
  }
}

inputs = {
  identifier     = "hello"
  instance_class = "db.r7g.xlarge"
  storage        = { first = 100, most = 500 }
  backup_days    = 35
  # Pods of both regions write to the one database.
  clients = dependency.other_network.outputs.private_cidr_blocks
  # Two regions with 12 pods a version, and two versions at a cutover.
  pods = 48
}

include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
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
  name         = include.root.locals.place.cluster
  region       = include.root.locals.place.region
  cidr         = include.root.locals.place.cidr
  nat_per_zone = false
  logs_key_arn = dependency.keys.outputs.arns.logs
}

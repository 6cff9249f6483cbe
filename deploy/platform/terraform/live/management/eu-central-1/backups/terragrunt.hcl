include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//bucket"
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { backups = "mock" }
  }
}

inputs = {
  name    = "example-management-hello-backups"
  account = include.root.locals.account
  region  = include.root.locals.place.region
  key_arn = dependency.keys.outputs.arns.backups
}

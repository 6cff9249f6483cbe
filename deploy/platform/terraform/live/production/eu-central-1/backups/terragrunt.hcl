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

dependency "copies" {
  config_path = "../../eu-west-1/backups-replica"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arn     = "mock"
    region  = "eu-west-1"
    key_arn = "mock"
  }
}

inputs = {
  name    = "example-production-hello-backups"
  account = include.root.locals.account
  region  = include.root.locals.place.region
  key_arn = dependency.keys.outputs.arns.backups
  # Velero deletes its own, by their time to live.
  expire_after_days = { "pg_dump/" = 90 }
  lock_days         = 14
  replica = {
    bucket_arn = dependency.copies.outputs.arn
    key_arn    = dependency.copies.outputs.key_arn
    region     = dependency.copies.outputs.region
  }
}

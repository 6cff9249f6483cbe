# Backups outlive their region here. S3 writes to it, and a backup when that region is lost.

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
  name    = "example-production-hello-backups-replica"
  account = include.root.locals.account
  region  = include.root.locals.place.region
  key_arn = dependency.keys.outputs.arns.backups
  # What a lifecycle deletes is not deleted in the copy.
  expire_after_days = { "pg_dump/" = 90 }
  # As the bucket that is copied: S3 asks for it.
  lock_days = 14
}

include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "bucket" {
  path           = find_in_parent_folders("_envcommon/bucket.hcl")
  merge_strategy = "deep"
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
  # Velero deletes its own, by their time to live.
  expire_after_days = { "pg_dump/" = 90 }
  lock_days         = 14
  replica = {
    bucket_arn = dependency.copies.outputs.arn
    key_arn    = dependency.copies.outputs.key_arn
    region     = dependency.copies.outputs.region
  }
}

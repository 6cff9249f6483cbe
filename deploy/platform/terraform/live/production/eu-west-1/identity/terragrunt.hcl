include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "identity" {
  path           = find_in_parent_folders("_envcommon/identity.hcl")
  merge_strategy = "deep"
}

dependency "backups" {
  config_path = "../../eu-central-1/backups"
}

dependency "backups_copy" {
  config_path = "../backups-replica"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-west-1"
    key_arn = "mock"
  }
}

inputs = {
  components = ["hello-backup"]
  zone       = { reserved = ["hello.example.com"] }
  buckets = {
    backups-copy = {
      name    = dependency.backups_copy.outputs.name
      region  = dependency.backups_copy.outputs.region
      key_arn = dependency.backups_copy.outputs.key_arn
    }
  }
}

include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "secrets" {
  path           = find_in_parent_folders("_envcommon/secrets.hcl")
  merge_strategy = "deep"
}

dependency "keys_of_copies" {
  config_path = "../../eu-west-1/keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { secrets = "mock" }
  }
}

inputs = {
  names = ["hello/database", "hello/database-owner", "hello/postgres-ca"]
  # Terraform reads the password of the database's owner when it makes the database.
  readers  = ["production-eu-west-1-external-secrets", "hello-terraform"]
  replicas = { eu-west-1 = dependency.keys_of_copies.outputs.arns.secrets }
}

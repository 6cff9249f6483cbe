include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "secrets" {
  path           = find_in_parent_folders("_envcommon/secrets.hcl")
  merge_strategy = "deep"
}

inputs = {
  names = ["hello/database", "hello/database-owner", "hello/postgres-ca"]
  # Terraform reads the password of the database's owner when it makes the database.
  readers = ["hello-terraform"]
}

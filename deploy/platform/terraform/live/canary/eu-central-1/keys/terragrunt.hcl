include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "keys" {
  path           = find_in_parent_folders("_envcommon/keys.hcl")
  merge_strategy = "deep"
}

inputs = {
  purposes = ["backups", "cluster", "database", "logs", "secrets", "volumes"]
}

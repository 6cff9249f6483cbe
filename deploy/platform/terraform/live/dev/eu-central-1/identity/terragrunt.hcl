include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "identity" {
  path           = find_in_parent_folders("_envcommon/identity.hcl")
  merge_strategy = "deep"
}

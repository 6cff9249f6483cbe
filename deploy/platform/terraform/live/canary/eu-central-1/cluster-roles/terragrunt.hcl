include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "cluster-roles" {
  path           = find_in_parent_folders("_envcommon/cluster-roles.hcl")
  merge_strategy = "deep"
}

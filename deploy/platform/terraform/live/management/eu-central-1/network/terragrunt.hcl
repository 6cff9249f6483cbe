include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "network" {
  path           = find_in_parent_folders("_envcommon/network.hcl")
  merge_strategy = "deep"
}

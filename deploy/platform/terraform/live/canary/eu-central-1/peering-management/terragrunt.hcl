include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "peering-management" {
  path           = find_in_parent_folders("_envcommon/peering-management.hcl")
  merge_strategy = "deep"
}

include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "dns" {
  path           = find_in_parent_folders("_envcommon/dns.hcl")
  merge_strategy = "deep"
}

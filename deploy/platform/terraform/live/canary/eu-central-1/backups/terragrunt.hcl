include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "bucket" {
  path           = find_in_parent_folders("_envcommon/bucket.hcl")
  merge_strategy = "deep"
}

inputs = {
  # Velero deletes its own, by their time to live.
  expire_after_days = { "pg_dump/" = 14 }
}

include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "bucket" {
  path           = find_in_parent_folders("_envcommon/bucket.hcl")
  merge_strategy = "deep"
}

inputs = {
  # Loki deletes what is old by itself.
  keep_deleted_days = 7
}

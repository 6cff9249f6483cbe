# Backups outlive their region here. S3 writes to it, and a backup when that region is lost.

include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "bucket" {
  path           = find_in_parent_folders("_envcommon/bucket.hcl")
  merge_strategy = "deep"
}

inputs = {
  # What a lifecycle deletes is not deleted in the copy.
  expire_after_days = { "pg_dump/" = 90 }
  # As the bucket that is copied: S3 asks for it.
  lock_days = 14
}

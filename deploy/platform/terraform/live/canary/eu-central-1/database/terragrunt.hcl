include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "database" {
  path           = find_in_parent_folders("_envcommon/database.hcl")
  merge_strategy = "deep"
}

inputs = {
  identifier     = "hello-canary"
  instance_class = "db.r7g.large"
  storage        = { first = 20, most = 100 }
  backup_days    = 7
  # 6 pods a version, and two versions at a cutover.
  pods = 12
}

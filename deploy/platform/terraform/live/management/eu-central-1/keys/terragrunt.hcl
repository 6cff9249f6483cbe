include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//keys"
}

inputs = {
  account  = include.root.locals.account
  region   = include.root.locals.place.region
  purposes = ["backups", "cluster", "logs", "secrets", "storage", "volumes"]
}

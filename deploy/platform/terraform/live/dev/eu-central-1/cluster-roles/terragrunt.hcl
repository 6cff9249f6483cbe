include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//cluster-roles"
}

inputs = {
  cluster            = include.root.locals.place.cluster
  account            = include.root.locals.account
  region             = include.root.locals.place.region
  management_account = include.root.locals.accounts.management
}

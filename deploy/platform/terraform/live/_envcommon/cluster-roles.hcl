locals {
  stage    = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals
}

terraform {
  source = "../../../../modules//cluster-roles"
}

inputs = {
  cluster            = local.place.cluster
  account            = local.accounts[local.stage.name]
  region             = local.place.region
  management_account = local.stage.name == "management" ? null : local.accounts.management
}

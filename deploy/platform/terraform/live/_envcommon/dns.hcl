locals {
  stage = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
}

terraform {
  source = "../../../../modules//dns"
}

inputs = {
  zone = local.stage.zone
}

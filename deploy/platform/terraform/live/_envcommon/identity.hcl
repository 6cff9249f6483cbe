# After the cluster: its OIDC provider vouches for the roles.

locals {
  stage    = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals
}

terraform {
  source = "../../../../modules//identity"
}

dependency "dns" {
  config_path = "../../global/dns"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    zone_id = "mock"
  }
}

dependency "keys" {
  config_path = "../keys"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    arns = { secrets = "mock", volumes = "mock" }
  }
}

dependency "backups" {
  config_path = "../backups"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

inputs = {
  cluster = local.place.cluster
  account = local.accounts[local.stage.name]
  region  = local.place.region
  components = [
    "aws-load-balancer-controller",
    "cert-manager",
    "cluster-autoscaler",
    "ebs-csi",
    "external-dns",
    "external-secrets",
    "velero",
  ]
  zone = {
    name = local.stage.zone
    id   = dependency.dns.outputs.zone_id
  }
  keys = {
    secrets = dependency.keys.outputs.arns.secrets
    volumes = dependency.keys.outputs.arns.volumes
  }
  buckets = {
    backups = {
      name    = dependency.backups.outputs.name
      region  = dependency.backups.outputs.region
      key_arn = dependency.backups.outputs.key_arn
    }
  }
}

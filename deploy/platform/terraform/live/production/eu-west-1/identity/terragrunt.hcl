# After the cluster: its OIDC provider vouches for the roles.

include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
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
  config_path = "../../eu-central-1/backups"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

dependency "backups_copy" {
  config_path = "../backups-replica"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-west-1"
    key_arn = "mock"
  }
}

inputs = {
  cluster = include.root.locals.place.cluster
  account = include.root.locals.account
  region  = include.root.locals.place.region
  components = [
    "aws-load-balancer-controller",
    "cert-manager",
    "cluster-autoscaler",
    "ebs-csi",
    "external-dns",
    "external-secrets",
    "hello-backup",
    "velero",
  ]
  zone = {
    name     = include.root.locals.stage.zone
    id       = dependency.dns.outputs.zone_id
    reserved = ["hello.${include.root.locals.stage.zone}"]
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
    backups-copy = {
      name    = dependency.backups_copy.outputs.name
      region  = dependency.backups_copy.outputs.region
      key_arn = dependency.backups_copy.outputs.key_arn
    }
  }
}

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
  config_path = "../backups"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

dependency "logs" {
  config_path = "../logs"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

dependency "metrics" {
  config_path = "../metrics"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name    = "mock"
    region  = "eu-central-1"
    key_arn = "mock"
  }
}

inputs = {
  cluster = include.root.locals.place.cluster
  account = include.root.locals.account
  region  = include.root.locals.place.region
  components = [
    "argocd",
    "aws-load-balancer-controller",
    "capa",
    "cert-manager",
    "cluster-autoscaler",
    "ebs-csi",
    "external-dns",
    "external-secrets",
    "loki",
    "mimir",
    "velero",
  ]
  zone = {
    name = include.root.locals.stage.zone
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
    logs = {
      name    = dependency.logs.outputs.name
      region  = dependency.logs.outputs.region
      key_arn = dependency.logs.outputs.key_arn
    }
    metrics = {
      name    = dependency.metrics.outputs.name
      region  = dependency.metrics.outputs.region
      key_arn = dependency.metrics.outputs.key_arn
    }
  }
  visited = {
    dev                     = include.root.locals.accounts.dev
    canary                  = include.root.locals.accounts.canary
    production-eu-central-1 = include.root.locals.accounts.production
    production-eu-west-1    = include.root.locals.accounts.production
  }
}

# What all units have in common. A unit includes it, and says what is its own.

terragrunt_version_constraint = ">= 1.1.3, < 2.0.0"
terraform_version_constraint  = ">= 1.11.4, < 2.0.0"

# Terragrunt would take OpenTofu where it finds both.
terraform_binary = "terraform"

locals {
  stage    = read_terragrunt_config(find_in_parent_folders("stage.hcl")).locals
  place    = read_terragrunt_config(find_in_parent_folders("region.hcl")).locals
  accounts = read_terragrunt_config(find_in_parent_folders("accounts.hcl")).locals

  account = local.accounts[local.stage.name]
  role    = "arn:aws:iam::${local.account}:role/hello-terraform"
}

remote_state {
  backend = "s3"
  generate = {
    path      = "backend.tf"
    if_exists = "overwrite_terragrunt"
  }
  config = {
    bucket       = "example-${local.stage.name}-hello-terraform-state"
    key          = "${path_relative_to_include()}/terraform.tfstate"
    region       = "eu-central-1"
    encrypt      = true
    use_lockfile = true
    assume_role  = { role_arn = local.role }
  }
}

generate "provider" {
  path      = "provider.tf"
  if_exists = "overwrite_terragrunt"
  contents  = <<-EOF
    provider "aws" {
      region              = "${local.place.region}"
      allowed_account_ids = ["${local.account}"]

      assume_role {
        role_arn = "${local.role}"
      }

      default_tags {
        tags = {
          "hello:stage" = "${local.stage.name}"
          "hello:unit"  = "${path_relative_to_include()}"
        }
      }
    }
  EOF
}

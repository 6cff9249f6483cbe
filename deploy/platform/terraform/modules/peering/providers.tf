# The account and region of the other network. Terragrunt writes the provider of this one's.
provider "aws" {
  alias               = "accepter"
  region              = var.accepter_region
  allowed_account_ids = [var.accepter_account]

  assume_role {
    role_arn = var.accepter_role_arn
  }
}

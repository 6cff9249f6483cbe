locals {
  visits = { for component in ["argocd", "capa"] : component => {
    Sid      = "Visit"
    Effect   = "Allow"
    Action   = "sts:AssumeRole"
    Resource = [for cluster, account in var.visited : "arn:aws:iam::${account}:role/${cluster}-${component}"]
  } }

  argocd = jsonencode({ Version = "2012-10-17", Statement = [local.visits.argocd] })

  # Terragrunt has the rest as the role of the unit's account (live/root.hcl).
  atlantis = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Work"
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = [for account in var.terraform_accounts : "arn:aws:iam::${account}:role/hello-terraform"]
    }]
  })

  # On its own cluster it works as it does on others, where the module cluster-roles has a role for
  # it with the same policy.
  capa = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      jsondecode(templatefile("${path.module}/../cluster-roles/policies/capa.json.tftpl", {
        account = var.account
        cluster = var.cluster
        region  = var.region
      })).Statement,
      [local.visits.capa],
    )
  })
}

locals {
  visits = { for component in ["argocd", "capa"] : component => {
    Sid      = "Visit"
    Effect   = "Allow"
    Action   = "sts:AssumeRole"
    Resource = [for cluster, account in var.visited : "arn:aws:iam::${account}:role/${cluster}-${component}"]
  } }

  argocd = jsonencode({ Version = "2012-10-17", Statement = [local.visits.argocd] })

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

# The roles that a cluster needs before it is there. Those of what runs in it come after it, in
# the module identity, because its OIDC provider vouches for them.

locals {
  # EKS's own, by what assumes them.
  eks = {
    control-plane = {
      service  = "eks.amazonaws.com"
      policies = ["AmazonEKSClusterPolicy"]
    }
    nodes = {
      service  = "ec2.amazonaws.com"
      policies = ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"]
    }
  }
  attachments = merge([for name, role in local.eks : {
    for policy in role.policies : "${name} ${policy}" => { role = name, policy = policy }
  }]...)

  # What works on this cluster from the management cluster, and what it may do in this account.
  # Argo CD may do nothing here: its role is a name, which an access entry of EKS gives its rights.
  visitors = var.management_account == null ? {} : {
    argocd = null
    capa = templatefile("${path.module}/policies/capa.json.tftpl", {
      account = var.account
      cluster = var.cluster
      region  = var.region
    })
  }
}

resource "aws_iam_role" "eks" {
  for_each = local.eks
  name     = "${var.cluster}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = each.value.service }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "eks" {
  for_each   = local.attachments
  role       = aws_iam_role.eks[each.value.role].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value.policy}"
}

# The account is trusted, but for one role alone: IAM would refuse a principal that does not exist
# yet, and would not know it again if it were made anew.
resource "aws_iam_role" "visitor" {
  for_each = local.visitors
  name     = "${var.cluster}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.management_account}:root" }
      Action    = "sts:AssumeRole"
      Condition = {
        ArnEquals = { "aws:PrincipalArn" = "arn:aws:iam::${var.management_account}:role/management-${each.key}" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "visitor" {
  for_each = { for name, policy in local.visitors : name => policy if policy != null }
  name     = each.key
  role     = aws_iam_role.visitor[each.key].id
  policy   = each.value
}

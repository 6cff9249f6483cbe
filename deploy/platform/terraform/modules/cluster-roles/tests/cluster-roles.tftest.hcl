mock_provider "aws" {}

variables {
  cluster            = "dev"
  region             = "eu-central-1"
  account            = "000000000000"
  management_account = "000000000000"
}

run "one_role_of_management_visits" {
  command = plan

  assert {
    condition     = { for name, role in aws_iam_role.visitor : role.name => jsondecode(role.assume_role_policy).Statement[0].Condition.ArnEquals["aws:PrincipalArn"] } == { dev-argocd = "arn:aws:iam::000000000000:role/management-argocd", dev-capa = "arn:aws:iam::000000000000:role/management-capa" }
    error_message = "Another role of the management account than the one meant can work on the cluster."
  }

  assert {
    condition     = keys(output.policies) == ["dev-capa"]
    error_message = "Argo CD's role has rights in AWS."
  }
}

run "cluster_api_passes_two_roles_to_eks" {
  command = plan

  assert {
    condition     = flatten([for statement in jsondecode(output.policies["dev-capa"]).Statement : statement.Resource if statement.Action == "iam:PassRole"]) == ["arn:aws:iam::000000000000:role/dev-control-plane", "arn:aws:iam::000000000000:role/dev-nodes"]
    error_message = "Cluster API passes on other roles than the cluster's."
  }
}

run "nobody_visits_the_management_cluster" {
  command = plan

  variables {
    management_account = null
  }

  assert {
    condition     = length(aws_iam_role.visitor) == 0 && keys(aws_iam_role.eks) == ["control-plane", "nodes"]
    error_message = "The management cluster has a role for itself to assume."
  }
}

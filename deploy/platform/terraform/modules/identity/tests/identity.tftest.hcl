mock_provider "aws" {
  mock_data "aws_eks_cluster" {
    defaults = {
      identity = [{ oidc = [{ issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE" }] }]
    }
  }

  mock_data "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::000000000000:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE" }
  }
}

variables {
  cluster = "production-eu-west-1"
  region  = "eu-west-1"
  account = "000000000000"
  components = [
    "aws-load-balancer-controller", "cert-manager", "cluster-autoscaler", "ebs-csi", "external-dns",
    "external-secrets", "hello-backup", "velero",
  ]
  zone = { name = "example.com", id = "ZEXAMPLE", reserved = ["hello.example.com"] }
  keys = {
    secrets = "arn:aws:kms:eu-west-1:000000000000:key/secrets"
    volumes = "arn:aws:kms:eu-west-1:000000000000:key/volumes"
  }
  buckets = {
    backups = {
      name    = "example-production-hello-backups"
      region  = "eu-central-1"
      key_arn = "arn:aws:kms:eu-central-1:000000000000:key/backups"
    }
  }
}

run "a_role_is_of_one_service_account" {
  command = plan

  assert {
    condition = { for role, trust in output.trusts : role => jsondecode(trust).Statement[0].Condition } == { for role, account in {
      production-eu-west-1-aws-load-balancer-controller = "aws-load-balancer-controller:aws-load-balancer-controller"
      production-eu-west-1-cert-manager                 = "cert-manager:cert-manager"
      production-eu-west-1-cluster-autoscaler           = "cluster-autoscaler:cluster-autoscaler"
      production-eu-west-1-ebs-csi                      = "kube-system:ebs-csi-controller-sa"
      production-eu-west-1-external-dns                 = "external-dns:external-dns"
      production-eu-west-1-external-secrets             = "external-secrets:external-secrets"
      production-eu-west-1-hello-backup                 = "hello:hello-backup"
      production-eu-west-1-velero                       = "velero:velero"
      } : role => { StringEquals = {
        "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:aud" = "sts.amazonaws.com"
        "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:sub" = ["system:serviceaccount:${account}"]
    } } }
    error_message = "A role can be had by another service account than its own, or by a token that is not for AWS."
  }
}

run "who_writes_backups_deletes_none" {
  command = plan

  assert {
    condition     = !strcontains(output.policies["production-eu-west-1-hello-backup"], "Delete")
    error_message = "A backup can be deleted by who makes it."
  }

  assert {
    condition     = alltrue([for role in ["hello-backup", "velero"] : strcontains(output.policies["production-eu-west-1-${role}"], "s3.eu-central-1.amazonaws.com")])
    error_message = "The bucket's key is not used in the bucket's region."
  }
}

run "dumps_go_to_the_copy_when_the_region_is_lost" {
  command = plan

  variables {
    buckets = {
      backups      = { name = "first", region = "eu-central-1", key_arn = "arn:aws:kms:eu-central-1:000000000000:key/backups" }
      backups-copy = { name = "copy", region = "eu-west-1", key_arn = "arn:aws:kms:eu-west-1:000000000000:key/backups" }
    }
  }

  assert {
    condition = jsondecode(output.policies["production-eu-west-1-hello-backup"]).Statement[0].Resource == [
      "arn:aws:s3:::first/pg_dump/*", "arn:aws:s3:::copy/pg_dump/*",
    ]
    error_message = "A backup has nowhere to go when the bucket's region is lost."
  }

  assert {
    condition     = !strcontains(output.policies["production-eu-west-1-velero"], "arn:aws:s3:::copy")
    error_message = "Velero may write to the copy, which S3 writes for it."
  }
}

run "terraforms_names_are_not_external_dnss" {
  command = plan

  assert {
    condition = contains(flatten([for statement in jsondecode(output.policies["production-eu-west-1-external-dns"]).Statement :
      statement.Condition["ForAnyValue:StringLike"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"] if statement.Effect == "Deny"
    ]), "hello.example.com")
    error_message = "External-DNS may write the names with latency records."
  }
}

run "management_visits_the_clusters_that_are_named" {
  command = plan

  variables {
    cluster            = "management"
    components         = ["argocd", "atlantis", "capa", "loki", "mimir"]
    visited            = { dev = "000000000000" }
    terraform_accounts = ["000000000000"]
    buckets = {
      logs    = { name = "example-management-hello-logs", region = "eu-central-1", key_arn = "arn:aws:kms:eu-central-1:000000000000:key/storage" }
      metrics = { name = "example-management-hello-metrics", region = "eu-central-1", key_arn = "arn:aws:kms:eu-central-1:000000000000:key/storage" }
    }
  }

  assert {
    condition = { for role in ["argocd", "capa"] : role => flatten([for statement in jsondecode(output.policies["management-${role}"]).Statement :
      statement.Resource if statement.Action == "sts:AssumeRole"
    ]) } == { argocd = ["arn:aws:iam::000000000000:role/dev-argocd"], capa = ["arn:aws:iam::000000000000:role/dev-capa"] }
    error_message = "Argo CD or Cluster API may have other roles than those made for them."
  }

  assert {
    condition = jsondecode(output.policies["management-atlantis"]).Statement == [{
      Sid      = "Work"
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = ["arn:aws:iam::000000000000:role/hello-terraform"]
    }]
    error_message = "Atlantis may do something by itself, or have another role than Terraform's."
  }

  assert {
    condition     = alltrue([for role, bucket in { loki = "logs", mimir = "metrics" } : alltrue([for statement in jsondecode(output.policies["management-${role}"]).Statement : !startswith(try(statement.Action[0], ""), "s3:") || startswith(statement.Resource, "arn:aws:s3:::example-management-hello-${bucket}")])])
    error_message = "Loki and Mimir reach each other's buckets."
  }
}

run "a_bucket_is_not_forgotten" {
  command = plan

  variables {
    buckets = {}
  }

  expect_failures = [var.buckets]
}

# A region has keys of its own: no key is a multi-region one. What crosses regions (RDS's replica,
# S3's replication, Secrets Manager's) is encrypted anew where it arrives, so no ciphertext has to
# travel, and a key that is lost or misused in one region harms nothing in the other.

locals {
  services = {
    backups  = "s3"
    database = "rds"
    secrets  = "secretsmanager"
    storage  = "s3"
    volumes  = "ec2"
  }
  root = { AWS = "arn:aws:iam::${var.account}:root" }

  # For all keys: the account's IAM policies decide who manages a key, and nobody reads by that.
  management = {
    Sid       = "Management"
    Effect    = "Allow"
    Principal = local.root
    Action = [
      "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:Describe*", "kms:Disable*",
      "kms:Enable*", "kms:Get*", "kms:List*", "kms:PutKeyPolicy", "kms:RevokeGrant",
      "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
      "kms:UpdateAlias", "kms:UpdateKeyDescription",
    ]
    Resource = "*"
  }

  # A key of a service is used through that service alone, so that data that somebody copied is
  # not read with `kms:Decrypt` past the service, its policies and its log.
  through = { for purpose, service in local.services : purpose => {
    StringEquals = { "kms:ViaService" = "${service}.${var.region}.amazonaws.com" }
  } }
  cryptography = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
  use = { for purpose, service in local.services : purpose => [
    {
      Sid       = "Use"
      Effect    = "Allow"
      Principal = local.root
      Action    = local.cryptography
      Resource  = "*"
      Condition = local.through[purpose]
    },
    {
      Sid       = "GrantsToAWS"
      Effect    = "Allow"
      Principal = local.root
      Action    = "kms:CreateGrant"
      Resource  = "*"
      Condition = merge(local.through[purpose], { Bool = { "kms:GrantIsForAWSResource" = "true" } })
    },
  ] }

  own = {
    # EKS works with a grant that the creator of the cluster, Cluster API, gives it.
    cluster = [{
      Sid       = "GrantsToEKS"
      Effect    = "Allow"
      Principal = local.root
      Action    = "kms:CreateGrant"
      Resource  = "*"
    }]
    logs = [{
      Sid       = "Logs"
      Effect    = "Allow"
      Principal = { Service = "logs.${var.region}.amazonaws.com" }
      Action    = concat(local.cryptography, ["kms:Describe*"])
      Resource  = "*"
      Condition = {
        ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${var.account}:log-group:*" }
      }
    }]
    # Auto Scaling starts nodes as a service-linked role that IAM policies cannot be given to. Its
    # name cannot stand here before it exists, so it is one of the account that goes through EC2,
    # which is how AWS writes the policy of its own aws/ebs.
    volumes = [{
      Sid       = "Nodes"
      Effect    = "Allow"
      Principal = { AWS = "*" }
      Action    = concat(local.cryptography, ["kms:CreateGrant", "kms:DescribeKey"])
      Resource  = "*"
      Condition = {
        StringEquals = {
          "kms:CallerAccount" = var.account
          "kms:ViaService"    = "ec2.${var.region}.amazonaws.com"
        }
      }
    }]
  }
}

resource "aws_kms_key" "this" {
  #checkov:skip=CKV_AWS_33:the volumes' statement names any principal of this account, through EC2
  for_each                = var.purposes
  description             = "hello: ${each.key}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      local.management,
      lookup(local.use, each.key, []),
      lookup(local.own, each.key, []),
    ])
  })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "this" {
  for_each      = var.purposes
  name          = "alias/hello-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}

# Whatever forgets to ask for it. The root disks of nodes cannot: Cluster API gives their groups no
# launch template of ours.
resource "aws_ebs_encryption_by_default" "this" {
  enabled = true
}

resource "aws_ebs_default_kms_key" "this" {
  for_each = setintersection(var.purposes, ["volumes"])
  key_arn  = aws_kms_key.this[each.key].arn
}

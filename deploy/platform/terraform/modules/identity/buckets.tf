# The bucket may be in another region than the cluster: its key is there too.

locals {
  backups = lookup(var.buckets, "backups", local.nowhere)

  # What is decrypted with a multipart upload is its own parts.
  decrypt_backups = {
    Sid       = "Encrypt"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = local.backups.key_arn
    Condition = { StringEquals = { "kms:ViaService" = "s3.${local.backups.region}.amazonaws.com" } }
  }

  # The copy takes dumps when the region of the first is lost.
  dumps = concat([local.backups], [for purpose, bucket in var.buckets : bucket if purpose == "backups-copy"])

  # deploy/chart/files/backup.sh and restore.sh, both as this service account: `aws s3 cp` in parts
  # if need be, `aws s3 ls`, and `aws s3 cp` back. Neither deletes; the bucket's lifecycle does.
  hello_backup = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "PutAndGet"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        Resource = [for bucket in local.dumps : "arn:aws:s3:::${bucket.name}/pg_dump/*"]
      },
      {
        Sid       = "List"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = [for bucket in local.dumps : "arn:aws:s3:::${bucket.name}"]
        Condition = { StringLike = { "s3:prefix" = ["pg_dump/*"] } }
      },
      merge(local.decrypt_backups, {
        Resource  = [for bucket in local.dumps : bucket.key_arn]
        Condition = { StringEquals = { "kms:ViaService" = [for bucket in local.dumps : "s3.${bucket.region}.amazonaws.com"] } }
      }),
    ]
  })

  velero = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Objects"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts",
          "s3:PutObject",
        ]
        Resource = "arn:aws:s3:::${local.backups.name}/velero/${var.cluster}/*"
      },
      {
        Sid       = "List"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = "arn:aws:s3:::${local.backups.name}"
        Condition = { StringLike = { "s3:prefix" = ["velero/${var.cluster}/*"] } }
      },
      local.decrypt_backups,
      {
        Sid      = "LookAtVolumes"
        Effect   = "Allow"
        Action   = ["ec2:DescribeSnapshots", "ec2:DescribeVolumes"]
        Resource = "*"
      },
      # Volumes of Kubernetes are tagged by the CSI driver, and the account has one cluster a region.
      {
        Sid       = "SnapshotOfVolumes"
        Effect    = "Allow"
        Action    = "ec2:CreateSnapshot"
        Resource  = "${local.ec2}:volume/*"
        Condition = { StringEquals = { "aws:ResourceTag/ebs.csi.aws.com/cluster" = "true" } }
      },
      {
        Sid       = "Snapshots"
        Effect    = "Allow"
        Action    = "ec2:CreateSnapshot"
        Resource  = "arn:aws:ec2:${var.region}::snapshot/*"
        Condition = { Null = { "aws:RequestTag/velero.io/backup" = "false" } }
      },
      {
        Sid       = "OwnSnapshots"
        Effect    = "Allow"
        Action    = ["ec2:CreateVolume", "ec2:DeleteSnapshot"]
        Resource  = "arn:aws:ec2:${var.region}::snapshot/*"
        Condition = { Null = { "aws:ResourceTag/velero.io/backup" = "false" } }
      },
      {
        Sid       = "VolumesFromSnapshots"
        Effect    = "Allow"
        Action    = "ec2:CreateVolume"
        Resource  = "${local.ec2}:volume/*"
        Condition = { Null = { "aws:RequestTag/velero.io/backup" = "false" } }
      },
      {
        Sid       = "Tags"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = ["${local.ec2}:volume/*", "arn:aws:ec2:${var.region}::snapshot/*"]
        Condition = { StringEquals = { "ec2:CreateAction" = ["CreateSnapshot", "CreateVolume"] } }
      },
      local.volumes_key,
      local.volumes_grants,
    ]
  })

  stores = { for purpose in ["logs", "metrics"] : purpose => jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Objects"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts",
          "s3:PutObject",
        ]
        Resource = "arn:aws:s3:::${lookup(var.buckets, purpose, local.nowhere).name}/*"
      },
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
        Resource = "arn:aws:s3:::${lookup(var.buckets, purpose, local.nowhere).name}"
      },
      {
        Sid       = "Encrypt"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = lookup(var.buckets, purpose, local.nowhere).key_arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${lookup(var.buckets, purpose, local.nowhere).region}.amazonaws.com" } }
      },
    ]
  }) }
}

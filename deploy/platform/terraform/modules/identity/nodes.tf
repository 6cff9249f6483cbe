locals {
  # EKS puts the tags on the groups that it makes for managed nodes.
  cluster_autoscaler = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
          "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities",
          "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
          "ec2:GetInstanceTypesFromInstanceRequirements",
        ]
        Resource = "*"
      },
      {
        Sid      = "LookAtPools"
        Effect   = "Allow"
        Action   = "eks:DescribeNodegroup"
        Resource = "arn:aws:eks:${var.region}:${var.account}:nodegroup/${var.cluster}/*"
      },
      {
        Sid      = "Scale"
        Effect   = "Allow"
        Action   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource = "arn:aws:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName/*"
        Condition = { StringEquals = {
          "aws:ResourceTag/k8s.io/cluster-autoscaler/enabled"        = "true"
          "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.cluster}" = "owned"
        } }
      },
    ]
  })

  volumes_key = {
    Sid       = "VolumesKey"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    Resource  = var.keys.volumes
    Condition = { StringEquals = { "kms:ViaService" = "ec2.${var.region}.amazonaws.com" } }
  }
  volumes_grants = {
    Sid      = "VolumesGrants"
    Effect   = "Allow"
    Action   = "kms:CreateGrant"
    Resource = var.keys.volumes
    Condition = {
      Bool         = { "kms:GrantIsForAWSResource" = "true" }
      StringEquals = { "kms:ViaService" = "ec2.${var.region}.amazonaws.com" }
    }
  }

  # The driver tags all that it makes, and the account has one cluster a region.
  csi_makes = { StringEquals = { "aws:RequestTag/ebs.csi.aws.com/cluster" = "true" } }
  csi_made  = { StringEquals = { "aws:ResourceTag/ebs.csi.aws.com/cluster" = "true" } }
  ebs_csi = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes",
          "ec2:DescribeSnapshots", "ec2:DescribeTags", "ec2:DescribeVolumes",
          "ec2:DescribeVolumesModifications", "ec2:DescribeVolumeStatus",
        ]
        Resource = "*"
      },
      {
        Sid       = "Make"
        Effect    = "Allow"
        Action    = ["ec2:CreateSnapshot", "ec2:CreateVolume"]
        Resource  = ["${local.ec2}:volume/*", "arn:aws:ec2:${var.region}::snapshot/*"]
        Condition = local.csi_makes
      },
      {
        Sid       = "MakeFromOwn"
        Effect    = "Allow"
        Action    = ["ec2:CreateSnapshot", "ec2:CreateVolume"]
        Resource  = ["${local.ec2}:volume/*", "arn:aws:ec2:${var.region}::snapshot/*"]
        Condition = local.csi_made
      },
      {
        Sid    = "ChangeOwn"
        Effect = "Allow"
        Action = [
          "ec2:AttachVolume", "ec2:DeleteSnapshot", "ec2:DeleteVolume", "ec2:DetachVolume",
          "ec2:ModifyVolume",
        ]
        Resource  = ["${local.ec2}:volume/*", "arn:aws:ec2:${var.region}::snapshot/*"]
        Condition = local.csi_made
      },
      {
        Sid       = "Nodes"
        Effect    = "Allow"
        Action    = ["ec2:AttachVolume", "ec2:DetachVolume"]
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/eks:cluster-name" = var.cluster } }
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
}

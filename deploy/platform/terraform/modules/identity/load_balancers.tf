# After the policy that aws-load-balancer-controller publishes for v3.5.0 (docs/install/
# iam_policy.json), and narrower: this account and region; load balancers of this cluster, where it
# takes those of any; and nothing of WAF, Cognito and certificates, which Ingresses alone need.

locals {
  balancers = [for kind in ["loadbalancer/app", "loadbalancer/net", "targetgroup"] :
    "arn:aws:elasticloadbalancing:${var.region}:${var.account}:${kind}/*"
  ]
  listeners = [for kind in ["listener", "listener-rule"] :
    "arn:aws:elasticloadbalancing:${var.region}:${var.account}:${kind}/*"
  ]
  balancers_makes = { "aws:RequestTag/elbv2.k8s.aws/cluster" = var.cluster }
  balancers_made  = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = var.cluster }

  load_balancers = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeAvailabilityZones",
          "ec2:DescribeCoipPools", "ec2:DescribeInstances", "ec2:DescribeInternetGateways",
          "ec2:DescribeIpamPools", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeTags",
          "ec2:DescribeVpcPeeringConnections", "ec2:DescribeVpcs", "ec2:GetCoipPoolUsage",
          "ec2:GetSecurityGroupsForVpc",
          "elasticloadbalancing:DescribeCapacityReservation",
          "elasticloadbalancing:DescribeListenerAttributes",
          "elasticloadbalancing:DescribeListenerCertificates",
          "elasticloadbalancing:DescribeListeners",
          "elasticloadbalancing:DescribeLoadBalancerAttributes",
          "elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeRules",
          "elasticloadbalancing:DescribeSSLPolicies", "elasticloadbalancing:DescribeTags",
          "elasticloadbalancing:DescribeTargetGroupAttributes",
          "elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
          "elasticloadbalancing:DescribeTrustStores",
          "shield:GetSubscriptionState",
        ]
        Resource = "*"
      },
      {
        Sid       = "ServiceLinkedRole"
        Effect    = "Allow"
        Action    = "iam:CreateServiceLinkedRole"
        Resource  = "arn:aws:iam::${var.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"
        Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
      },
      {
        Sid      = "MakeGroups"
        Effect   = "Allow"
        Action   = "ec2:CreateSecurityGroup"
        Resource = ["${local.ec2}:security-group/*", "${local.ec2}:vpc/*"]
      },
      {
        Sid       = "TagNewGroups"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = merge(local.balancers_makes, { "ec2:CreateAction" = "CreateSecurityGroup" }) }
      },
      # The tag that says whose it is stays what it is.
      {
        Sid      = "TagGroups"
        Effect   = "Allow"
        Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
        Resource = "${local.ec2}:security-group/*"
        Condition = {
          StringEquals = local.balancers_made
          Null         = { "aws:RequestTag/elbv2.k8s.aws/cluster" = "true" }
        }
      },
      # Those of the nodes too, which it did not make, so that they let the load balancer in.
      {
        Sid      = "OpenGroups"
        Effect   = "Allow"
        Action   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
        Resource = ["${local.ec2}:security-group/*", "${local.ec2}:security-group-rule/*"]
      },
      {
        Sid       = "DeleteGroups"
        Effect    = "Allow"
        Action    = "ec2:DeleteSecurityGroup"
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = local.balancers_made }
      },
      {
        Sid       = "Make"
        Effect    = "Allow"
        Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
        Resource  = local.balancers
        Condition = { StringEquals = local.balancers_makes }
      },
      {
        Sid      = "TagNew"
        Effect   = "Allow"
        Action   = "elasticloadbalancing:AddTags"
        Resource = local.balancers
        Condition = { StringEquals = merge(local.balancers_makes, {
          "elasticloadbalancing:CreateAction" = ["CreateLoadBalancer", "CreateTargetGroup"]
        }) }
      },
      {
        Sid      = "Tag"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
        Resource = local.balancers
        Condition = {
          StringEquals = local.balancers_made
          Null         = { "aws:RequestTag/elbv2.k8s.aws/cluster" = "true" }
        }
      },
      {
        Sid      = "TagListeners"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
        Resource = local.listeners
      },
      # These are asked for by the load balancer, the listener or the rule, and not all of them have
      # the tag when they are.
      {
        Sid    = "Listeners"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:AddListenerCertificates", "elasticloadbalancing:CreateListener",
          "elasticloadbalancing:CreateRule", "elasticloadbalancing:DeleteListener",
          "elasticloadbalancing:DeleteRule", "elasticloadbalancing:ModifyListener",
          "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RemoveListenerCertificates",
          "elasticloadbalancing:SetRulePriorities",
        ]
        Resource = concat(local.balancers, local.listeners)
      },
      {
        Sid    = "Change"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:ModifyCapacityReservation", "elasticloadbalancing:ModifyIpPools",
          "elasticloadbalancing:ModifyListenerAttributes",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "elasticloadbalancing:ModifyTargetGroup",
          "elasticloadbalancing:ModifyTargetGroupAttributes",
          "elasticloadbalancing:SetIpAddressType", "elasticloadbalancing:SetSecurityGroups",
          "elasticloadbalancing:SetSubnets",
        ]
        Resource  = concat(local.balancers, local.listeners)
        Condition = { StringEquals = local.balancers_made }
      },
      {
        Sid      = "Targets"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
        Resource = "arn:aws:elasticloadbalancing:${var.region}:${var.account}:targetgroup/*"
      },
    ]
  })
}

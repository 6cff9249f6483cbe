# Conditions with ForAllValues hold for a request without the key, hence Null beside them.

locals {
  cert_manager = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Challenges"
        Effect   = "Allow"
        Action   = "route53:ChangeResourceRecordSets"
        Resource = local.zone
        Condition = {
          Null = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = "false"
            "route53:ChangeResourceRecordSetsRecordTypes"           = "false"
          }
          "ForAllValues:StringEquals" = {
            "route53:ChangeResourceRecordSetsRecordTypes" = ["TXT"]
          }
          "ForAllValues:StringLike" = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [
              "_acme-challenge.${var.zone.name}", "_acme-challenge.*.${var.zone.name}",
            ]
          }
        }
      },
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = "route53:ListResourceRecordSets"
        Resource = local.zone
      },
      {
        Sid      = "Wait"
        Effect   = "Allow"
        Action   = "route53:GetChange"
        Resource = "arn:aws:route53:::change/*"
      },
      {
        Sid      = "FindTheZone"
        Effect   = "Allow"
        Action   = "route53:ListHostedZonesByName"
        Resource = "*"
      },
    ]
  })

  external_dns = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Records"
          Effect   = "Allow"
          Action   = "route53:ChangeResourceRecordSets"
          Resource = local.zone
          Condition = {
            Null = { "route53:ChangeResourceRecordSetsRecordTypes" = "false" }
            "ForAllValues:StringEquals" = {
              "route53:ChangeResourceRecordSetsRecordTypes" = ["A", "AAAA", "CNAME", "TXT"]
            }
          }
        },
        {
          Sid      = "Look"
          Effect   = "Allow"
          Action   = ["route53:ListResourceRecordSets", "route53:ListTagsForResource", "route53:ListTagsForResources"]
          Resource = local.zone
        },
        {
          Sid      = "FindTheZone"
          Effect   = "Allow"
          Action   = "route53:ListHostedZones"
          Resource = "*"
        },
      ],
      # One of them in a batch is enough to refuse all of it. And cert-manager's records are its own.
      [{
        Sid      = "NotTheNamesOfOthers"
        Effect   = "Deny"
        Action   = "route53:ChangeResourceRecordSets"
        Resource = local.zone
        Condition = {
          "ForAnyValue:StringLike" = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = concat(["_acme-challenge.*"], var.zone.reserved)
          }
        }
      }],
    )
  })
}

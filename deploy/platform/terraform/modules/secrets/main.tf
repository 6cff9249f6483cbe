resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:docs/operations.md says how each is rotated; pods have them in their environment, so they restart with it
  for_each                = var.names
  name                    = each.key
  kms_key_id              = var.key_arn
  recovery_window_in_days = 30

  dynamic "replica" {
    for_each = var.replicas

    content {
      region     = replica.key
      kms_key_id = replica.value
    }
  }
}

# Copies have it as well: Secrets Manager replicates it with the value.
resource "aws_secretsmanager_secret_policy" "this" {
  for_each            = var.names
  secret_arn          = aws_secretsmanager_secret.this[each.key].arn
  block_public_policy = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NobodyElseReads"
      Effect    = "Deny"
      Principal = "*"
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
      Condition = {
        ArnNotEquals = { "aws:PrincipalArn" = [for role in var.readers : "arn:aws:iam::${var.account}:role/${role}"] }
      }
    }]
  })
}

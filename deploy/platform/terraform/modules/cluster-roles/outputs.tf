output "role_arns" {
  description = "The roles, by what has them."
  value       = { for name, role in merge(aws_iam_role.eks, aws_iam_role.visitor) : name => role.arn }
}

output "policies" {
  description = "What the roles may do, as JSON, by role."
  value       = { for name, policy in local.visitors : "${var.cluster}-${name}" => policy if policy != null }
}

output "trusts" {
  description = "Who may have the roles, as JSON, by role."
  value       = { for name, role in merge(aws_iam_role.eks, aws_iam_role.visitor) : role.name => role.assume_role_policy }
}

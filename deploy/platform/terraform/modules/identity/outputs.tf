output "role_arns" {
  description = "The roles, by component."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "policies" {
  description = "What the roles may do, as JSON, by role."
  value       = { for name, component in local.components : "${var.cluster}-${name}" => component.policy }
}

output "trusts" {
  description = "Who may have the roles, as JSON, by role."
  value       = { for role in aws_iam_role.this : role.name => role.assume_role_policy }
}

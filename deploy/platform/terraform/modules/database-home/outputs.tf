output "subnet_group_name" {
  description = "The subnets, as RDS names them."
  value       = aws_db_subnet_group.this.name
}

output "security_group_id" {
  description = "Lets pods in, on Postgres's port."
  value       = aws_security_group.this.id
}

output "parameter_group_name" {
  description = "Postgres's settings."
  value       = aws_db_parameter_group.this.name
}

output "monitoring_role_arn" {
  description = "Role by which RDS reports on the machine."
  value       = aws_iam_role.monitoring.arn

  # RDS assumes the role at once, and needs its policy.
  depends_on = [aws_iam_role_policy_attachment.monitoring]
}

output "log_exports" {
  description = "Logs that have a group in CloudWatch."
  value       = keys(aws_cloudwatch_log_group.this)
}

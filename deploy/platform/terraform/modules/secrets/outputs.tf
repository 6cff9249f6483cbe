output "arns" {
  description = "The entries, by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "arn" {
  description = "The instance, which a replica names as its source."
  value       = aws_db_instance.this.arn
}

output "address" {
  description = "Name that pods connect to: `postgres.host` of the cluster's values."
  value       = aws_db_instance.this.address
}

output "arn" {
  description = "The instance."
  value       = aws_db_instance.this.arn
}

output "address" {
  description = "Name that pods connect to."
  value       = aws_db_instance.this.address
}

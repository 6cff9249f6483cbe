output "health_check_ids" {
  description = "The health checks, by region."
  value       = { for region, check in aws_route53_health_check.this : region => check.id }
}

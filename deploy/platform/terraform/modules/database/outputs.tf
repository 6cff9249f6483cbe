output "arn" {
  description = "The instance, which a replica names as its source."
  value       = module.postgres.arn
}

output "address" {
  description = "Name that pods connect to: `postgres.host` of the cluster's values."
  value       = module.postgres.address
}

output "address" {
  description = "Name that pods connect to after a promotion: `postgres.host` of the clusters' values."
  value       = module.postgres.address
}

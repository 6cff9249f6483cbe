output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets of nodes, pods and internal load balancers, one a zone."
  value       = [for zone in keys(local.zones) : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers that the internet reaches, one a zone."
  value       = [for zone in keys(local.zones) : aws_subnet.public[zone].id]
}

output "database_subnet_ids" {
  description = "Subnets of databases, one a zone."
  value       = [for zone in keys(local.zones) : aws_subnet.database[zone].id]
}

output "private_cidr_blocks" {
  description = "Addresses of nodes and pods, one a zone."
  value       = [for subnets in local.zones : subnets.private]
}

output "database_cidr_blocks" {
  description = "Addresses of databases, one a zone."
  value       = [for subnets in local.zones : subnets.database]
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, by zone."
  value       = { for zone, table in aws_route_table.private : zone => table.id }
}

output "database_route_table_id" {
  description = "Route table of the databases' subnets."
  value       = aws_route_table.database.id
}

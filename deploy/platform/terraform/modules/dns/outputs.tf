output "zone_id" {
  description = "The zone, as Route 53 names it."
  value       = aws_route53_zone.this.zone_id
}

output "name_servers" {
  description = "The zone's name servers, which the zone above or the registrar has to name."
  value       = aws_route53_zone.this.name_servers
}

variable "zone_id" {
  description = "The public zone, as Route 53 names it."
  type        = string
}

variable "name" {
  description = "The service's name for all regions."
  type        = string
}

variable "regions" {
  description = "The service's name in each region, by AWS region. External-DNS writes those, and they have to exist before an alias can point to them."
  type        = map(string)

  validation {
    condition     = length(var.regions) > 0
    error_message = "regions names at least one."
  }
}

variable "email" {
  description = "Who is told that a region is unhealthy. AWS asks the address for its consent."
  type        = string
}

variable "zone" {
  description = "Name of the public zone, such as example.com."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]+$", var.zone))
    error_message = "zone is a name without a dot at its end."
  }
}

variable "delegations" {
  description = "Zones below this one that are in other accounts: the name servers of each, by its name."
  type        = map(list(string))
  default     = {}
}

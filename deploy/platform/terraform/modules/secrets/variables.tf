variable "names" {
  description = "The entries. Terraform makes them without a value, which a person writes."
  type        = set(string)

  validation {
    condition     = alltrue([for name in var.names : startswith(name, "hello/") || startswith(name, "platform/")])
    error_message = "names begin with hello/ or platform/: External Secrets may read nothing else."
  }
}

variable "account" {
  description = "AWS account."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the entries."
  type        = string
}

variable "readers" {
  description = "Names of the IAM roles that read values. Nobody else does, whatever their own policies say."
  type        = set(string)

  validation {
    condition     = length(var.readers) > 0
    error_message = "readers names at least one role."
  }
}

variable "replicas" {
  description = "Regions that have a copy of the entries, and the KMS key of the copies there."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "Name of the bucket."
  type        = string
}

variable "account" {
  description = "AWS account, in whose name alone S3 may copy."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the objects."
  type        = string
}

variable "expire_after_days" {
  description = "Days after which an object goes, by prefix. What has none here stays until whoever wrote it deletes it."
  type        = map(number)
  default     = {}
}

variable "keep_deleted_days" {
  description = "Days for which what was deleted or overwritten can be taken back."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_deleted_days >= 1
    error_message = "keep_deleted_days is a day or more."
  }
}

variable "lock_days" {
  description = "Days for which nobody deletes a version, other than who may bypass governance. None by default. A bucket has it from its beginning or not at all."
  type        = number
  default     = null
}

variable "replica" {
  description = "A bucket in another region, locked as this one is, that gets a copy of each object, and the KMS key of the copies."
  type = object({
    bucket_arn = string
    key_arn    = string
    region     = string
  })
  default = null
}

variable "region" {
  description = "AWS region."
  type        = string
}

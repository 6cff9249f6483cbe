output "name" {
  description = "The bucket."
  value       = aws_s3_bucket.this.bucket
}

output "arn" {
  description = "The bucket, for policies."
  value       = aws_s3_bucket.this.arn
}

output "region" {
  description = "Where the bucket and its key are."
  value       = var.region
}

output "key_arn" {
  description = "KMS key of the objects."
  value       = var.key_arn
}

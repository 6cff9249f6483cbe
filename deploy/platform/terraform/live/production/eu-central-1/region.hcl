locals {
  region  = "eu-central-1"
  cluster = "production-eu-central-1"
  cidr    = "10.0.0.0/16"
}

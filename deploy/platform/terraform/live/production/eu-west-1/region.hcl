locals {
  region  = "eu-west-1"
  cluster = "production-eu-west-1"
  cidr    = "10.3.0.0/16"
}

# What has no region is asked for, and its state kept, here.
locals {
  region = "eu-central-1"
}

locals {
  name = "production"
  zone = "example.com"
}

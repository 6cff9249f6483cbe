locals {
  name = "dev"
  zone = "dev.example.com"
}

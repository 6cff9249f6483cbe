locals {
  name = "management"
  zone = "platform.example.com"
}

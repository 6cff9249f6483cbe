# It is ready to be the one that writes: Multi-AZ, protected, and with backups of its own. So the
# source's backups are not replicated as well.
module "postgres" {
  source = "../postgres"

  identifier         = var.identifier
  region             = var.region
  source_arn         = var.source_arn
  instance_class     = var.instance_class
  storage            = { most = var.storage_most }
  backup_days        = var.backup_days
  maintenance_window = "thu:02:30-thu:03:30"
  network            = var.network
  clients            = var.clients
  pods               = var.pods
  key_arn            = var.key_arn
  logs_key_arn       = var.logs_key_arn
}

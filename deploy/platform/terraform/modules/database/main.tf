# Read at each run and written down nowhere. RDS could manage the password itself, but refuses to
# for an instance that has a read replica.
ephemeral "aws_secretsmanager_secret_version" "owner" {
  secret_id = var.owner_secret
}

module "postgres" {
  source = "../postgres"

  identifier             = var.identifier
  region                 = var.region
  engine_version         = var.engine_version
  owner                  = var.owner
  owner_password         = jsondecode(ephemeral.aws_secretsmanager_secret_version.owner.secret_string).password
  owner_password_version = var.owner_password_version
  instance_class         = var.instance_class
  storage                = var.storage
  backup_days            = var.backup_days
  maintenance_window     = "tue:02:30-tue:03:30"
  network                = var.network
  clients                = var.clients
  pods                   = var.pods
  key_arn                = var.key_arn
  logs_key_arn           = var.logs_key_arn
}

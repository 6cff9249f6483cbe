module "home" {
  source = "../database-home"

  identifier   = var.identifier
  region       = var.region
  network      = var.network
  clients      = var.clients
  pods         = var.pods
  logs_key_arn = var.logs_key_arn
}

# Read at each run and written down nowhere. RDS could manage the password itself, but refuses to
# for an instance that has a read replica.
ephemeral "aws_secretsmanager_secret_version" "owner" {
  count     = var.owner_secret == null ? 0 : 1
  secret_id = var.owner_secret
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_161:Spin's Postgres client signs in by password
  #checkov:skip=CKV_AWS_226:the version is pinned; an upgrade is a commit, in the canary first
  identifier                  = var.identifier
  engine                      = "postgres"
  engine_version              = var.engine_version
  auto_minor_version_upgrade  = false
  allow_major_version_upgrade = false
  apply_immediately           = false
  instance_class              = var.instance_class
  multi_az                    = true

  db_name             = "hello"
  username            = var.owner
  password_wo         = var.owner_secret == null ? null : jsondecode(ephemeral.aws_secretsmanager_secret_version.owner[0].secret_string).password
  password_wo_version = var.owner_secret == null ? null : var.owner_password_version

  storage_type          = "gp3"
  allocated_storage     = var.storage.first
  max_allocated_storage = var.storage.most
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  port                   = 5432
  publicly_accessible    = false
  db_subnet_group_name   = module.home.subnet_group_name
  vpc_security_group_ids = [module.home.security_group_id]
  parameter_group_name   = module.home.parameter_group_name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period   = var.backup_days
  backup_window             = "01:00-02:00"
  maintenance_window        = "tue:02:30-tue:03:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.identifier}-final"

  # Statements are shown with $1 for what the service puts in.
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = module.home.monitoring_role_arn
  enabled_cloudwatch_logs_exports       = module.home.log_exports
}

module "home" {
  source = "../database-home"

  identifier   = var.identifier
  region       = var.region
  network      = var.network
  clients      = var.clients
  pods         = var.pods
  logs_key_arn = var.logs_key_arn
}

# It is ready to be the one that writes: Multi-AZ, protected, and with backups of its own. So the
# source's backups are not replicated as well.
resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_161:Spin's Postgres client signs in by password
  #checkov:skip=CKV_AWS_226:the version is the source's
  identifier                 = var.identifier
  replicate_source_db        = var.source_arn
  auto_minor_version_upgrade = false
  apply_immediately          = false
  instance_class             = var.instance_class
  multi_az                   = true

  storage_type          = "gp3"
  max_allocated_storage = var.storage_most
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
  maintenance_window        = "thu:02:30-thu:03:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.identifier}-final"

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = module.home.monitoring_role_arn
  enabled_cloudwatch_logs_exports       = module.home.log_exports

  lifecycle {
    # A promotion, in the middle of a failover, has no source any more. The next plan must not want
    # it back.
    ignore_changes = [replicate_source_db]
  }
}

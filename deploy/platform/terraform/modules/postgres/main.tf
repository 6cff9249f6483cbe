# An RDS for PostgreSQL instance with what it needs around it. The one that writes and its replica
# are the same but for where their data comes from: either may become the other.

locals {
  writes = var.source_arn == null

  # Spin keeps up to 64 connections a pod (docs/postgres.md). The rest is for the migrations, the
  # backup, a person, and what RDS keeps for itself.
  max_connections = var.pods * 64 + 50

  dynamic = {
    "ssl_min_protocol_version" = "TLSv1.2"
    "password_encryption"      = "scram-sha-256"

    # Usernames and dates of birth are personal data, and none of it is for a log: no statement,
    # no parameter, and no DETAIL, which would quote the row at fault. Who connects, waits or is
    # slow to be cleaned is enough to find a fault.
    "log_statement"                     = "none"
    "log_min_duration_statement"        = "-1"
    "log_min_error_statement"           = "panic"
    "log_error_verbosity"               = "terse"
    "log_parameter_max_length"          = "0"
    "log_parameter_max_length_on_error" = "0"
    "log_connections"                   = "1"
    "log_disconnections"                = "1"
    "log_lock_waits"                    = "1"
    "log_temp_files"                    = "0"
    "log_autovacuum_min_duration"       = "1000"
  }
  static = {
    "max_connections"                   = tostring(local.max_connections)
    "rds.accepted_password_auth_method" = "scram"
  }
}

resource "aws_db_subnet_group" "this" {
  name        = var.identifier
  description = "hello: databases"
  subnet_ids  = var.network.subnet_ids
}

# Without an egress rule: it answers, and asks nobody.
resource "aws_security_group" "this" {
  name        = "${var.identifier}-postgres"
  description = "Postgres, for pods"
  vpc_id      = var.network.vpc_id
  tags        = { Name = "${var.identifier}-postgres" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(var.clients)
  security_group_id = aws_security_group.this.id
  description       = "Postgres from pods in ${each.key}"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.identifier}-postgres17"
  family      = "postgres17"
  description = "TLS alone, and no personal data in logs"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  dynamic "parameter" {
    for_each = local.dynamic

    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  dynamic "parameter" {
    for_each = local.static

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }
}

# RDS would make them by itself, without a key and for ever.
resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:names of who connected are not needed for a year
  for_each          = toset(["postgresql", "upgrade"])
  name              = "/aws/rds/instance/${var.identifier}/${each.key}"
  retention_in_days = 90
  kms_key_id        = var.logs_key_arn
}

resource "aws_iam_role" "monitoring" {
  name = "${var.identifier}-monitoring-${var.region}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_161:Spin's Postgres client signs in by password
  #checkov:skip=CKV_AWS_226:the version is pinned; an upgrade is a commit, in the canary first
  identifier          = var.identifier
  replicate_source_db = var.source_arn
  instance_class      = var.instance_class
  multi_az            = true

  # A replica has all of these from its source.
  engine              = local.writes ? "postgres" : null
  engine_version      = local.writes ? var.engine_version : null
  db_name             = local.writes ? "hello" : null
  username            = local.writes ? var.owner : null
  password_wo         = local.writes ? var.owner_password : null
  password_wo_version = local.writes ? var.owner_password_version : null
  allocated_storage   = local.writes ? var.storage.first : null

  auto_minor_version_upgrade  = false
  allow_major_version_upgrade = false
  apply_immediately           = false

  storage_type          = "gp3"
  max_allocated_storage = var.storage.most
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  port                   = 5432
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  # A replica's own, so that it can be restored in its region before it is promoted and after.
  backup_retention_period   = var.backup_days
  backup_window             = "01:00-02:00"
  maintenance_window        = var.maintenance_window
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
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = keys(aws_cloudwatch_log_group.this)

  depends_on = [aws_iam_role_policy_attachment.monitoring]

  lifecycle {
    # A promotion, in the middle of a failover, leaves no source. The next plan must not want it back.
    ignore_changes = [replicate_source_db]
  }
}

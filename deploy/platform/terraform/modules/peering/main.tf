locals {
  sides = { requester = var.requester, accepter = var.accepter }
  other = { requester = var.accepter, accepter = var.requester }

  # Nodes and pods reach the other side's nodes, pods and databases; databases only answer nodes
  # and pods. Between two networks' databases there is no route.
  routes = { for side, network in local.sides : side => merge(
    { for pair in setproduct(keys(network.private_route_table_ids), concat(local.other[side].private_cidr_blocks, try(local.other[side].database.cidr_blocks, []))) :
      "private ${pair[0]} ${pair[1]}" => { table = network.private_route_table_ids[pair[0]], to = pair[1] }
    },
    { for to in network.database == null ? [] : local.other[side].private_cidr_blocks :
      "database ${to}" => { table = network.database.route_table_id, to = to }
    },
  ) }
}

resource "aws_vpc_peering_connection" "this" {
  vpc_id        = var.requester.vpc_id
  peer_vpc_id   = var.accepter.vpc_id
  peer_owner_id = var.accepter_account
  peer_region   = var.accepter_region
  tags          = { Name = var.name }
}

resource "aws_vpc_peering_connection_accepter" "this" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection.this.id
  auto_accept               = true
  tags                      = { Name = var.name }
}

# Options can only be set on a connection that is accepted, hence the accepter's id in both.
resource "aws_vpc_peering_connection_options" "requester" {
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.id

  requester {
    allow_remote_vpc_dns_resolution = true
  }
}

resource "aws_vpc_peering_connection_options" "accepter" {
  provider                  = aws.accepter
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.id

  accepter {
    allow_remote_vpc_dns_resolution = true
  }
}

resource "aws_route" "requester" {
  for_each                  = local.routes.requester
  route_table_id            = each.value.table
  destination_cidr_block    = each.value.to
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.id
}

resource "aws_route" "accepter" {
  provider                  = aws.accepter
  for_each                  = local.routes.accepter
  route_table_id            = each.value.table
  destination_cidr_block    = each.value.to
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.id
}

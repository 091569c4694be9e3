//! The order service: places an order by reserving its items.

use crate::payload::{check_payload, payload};
use crate::protocol::inventory_client::InventoryClient;
use crate::protocol::order_server::Order;
use crate::protocol::{Hop, PlaceReply, PlaceRequest, ReserveRequest};
use crate::upstream::Upstream;
use tonic::{Request, Response, Status};

/// One endpoint of the order service.
pub(crate) struct OrderEndpoint {
    pub(crate) hop: Hop,
    pub(crate) inventory: Upstream,
}

#[tonic::async_trait]
impl Order for OrderEndpoint {
    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        let PlaceRequest {
            order,
            items,
            payload: received,
        } = request.into_inner();
        check_payload(order, &received)?;
        let reserve = ReserveRequest {
            order,
            items,
            payload: payload(order),
        };
        let mut reserved = InventoryClient::new(self.inventory.channel())
            .reserve(reserve)
            .await?
            .into_inner();
        let mut hops = Vec::new();
        let mut reserved_count = 0;
        while let Some(item) = reserved.message().await? {
            check_payload(order, &item.payload)?;
            reserved_count += 1;
            hops = item.hops;
        }
        if reserved_count != items {
            return Err(Status::data_loss(format!(
                "{reserved_count} of {items} items of order {order} reserved"
            )));
        }
        hops.push(self.hop.clone());
        Ok(Response::new(PlaceReply {
            hops,
            payload: payload(order),
        }))
    }
}

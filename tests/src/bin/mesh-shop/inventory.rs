//! The inventory service: reserves items, each once payment has settled its charge.

use crate::payload::{check_payload, payload};
use crate::protocol::inventory_server::Inventory;
use crate::protocol::payment_client::PaymentClient;
use crate::protocol::{Charge, Hop, ReserveRequest, Reserved};
use crate::upstream::Upstream;
use std::sync::Arc;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Most items of one order; also bounds what may wait in a stream.
const ITEM_COUNT_MAX: u32 = 16;

/// One endpoint of the inventory service.
pub(crate) struct InventoryEndpoint {
    pub(crate) hop: Hop,
    pub(crate) payment: Arc<Upstream>,
}

#[tonic::async_trait]
impl Inventory for InventoryEndpoint {
    type ReserveStream = ReceiverStream<Result<Reserved, Status>>;

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<Self::ReserveStream>, Status> {
        let request = request.into_inner();
        check_payload(request.order, &request.payload)?;
        if request.items > ITEM_COUNT_MAX {
            return Err(Status::invalid_argument(format!(
                "{} items, more than {ITEM_COUNT_MAX}",
                request.items
            )));
        }
        let (answers, stream) = channel(1);
        let hop = self.hop.clone();
        let payment = self.payment.channel();
        tokio::spawn(async move {
            if let Err(status) = reserve_each(&request, hop, payment, &answers).await {
                // The caller has gone if nobody takes the error.
                drop(answers.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn reserve_each(
    request: &ReserveRequest,
    hop: Hop,
    payment: Channel,
    answers: &Sender<Result<Reserved, Status>>,
) -> Result<(), Status> {
    let order = request.order;
    let (charges, outbound) = channel(1);
    let mut settled = PaymentClient::new(payment)
        .settle(ReceiverStream::new(outbound))
        .await?
        .into_inner();
    for item in 0..request.items {
        let charge = Charge {
            order,
            item,
            payload: payload(order),
        };
        let gone = |who| Status::aborted(format!("{who} has gone, order {order}"));
        charges.send(charge).await.map_err(|_| gone("payment"))?;
        let settled = settled.message().await?.ok_or_else(|| gone("payment"))?;
        check_payload(order, &settled.payload)?;
        let reserved = Reserved {
            item: settled.item,
            hops: settled.hop.into_iter().chain([hop.clone()]).collect(),
            payload: payload(order),
        };
        answers
            .send(Ok(reserved))
            .await
            .map_err(|_| gone("the caller"))?;
    }
    // Left before its status has come, a call is cancelled.
    drop(charges);
    match settled.message().await? {
        None => Ok(()),
        Some(_) => Err(Status::data_loss(format!(
            "more settled than charged, order {order}"
        ))),
    }
}

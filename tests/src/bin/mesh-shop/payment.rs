//! The payment service: settles each charge as it comes.

use crate::payload::{check_payload, payload};
use crate::protocol::payment_server::Payment;
use crate::protocol::{Charge, Hop, Settled};
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// One endpoint of the payment service.
pub(crate) struct PaymentEndpoint {
    pub(crate) hop: Hop,
}

#[tonic::async_trait]
impl Payment for PaymentEndpoint {
    type SettleStream = Pin<Box<dyn Stream<Item = Result<Settled, Status>> + Send>>;

    async fn settle(
        &self,
        request: Request<Streaming<Charge>>,
    ) -> Result<Response<Self::SettleStream>, Status> {
        let hop = self.hop.clone();
        let settled = request
            .into_inner()
            .map(move |charge| settle(charge?, &hop));
        Ok(Response::new(Box::pin(settled)))
    }
}

fn settle(charge: Charge, hop: &Hop) -> Result<Settled, Status> {
    check_payload(charge.order, &charge.payload)?;
    Ok(Settled {
        item: charge.item,
        hop: Some(hop.clone()),
        payload: payload(charge.order),
    })
}

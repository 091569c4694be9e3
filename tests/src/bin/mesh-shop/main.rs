//! The demo's shop: one endpoint of one of its three services, or its load generator.

mod inventory;
mod order;
mod payload;
mod payment;
mod protocol;
mod storefront;
mod upstream;

use crate::inventory::InventoryEndpoint;
use crate::order::OrderEndpoint;
use crate::payment::PaymentEndpoint;
use crate::protocol::Hop;
use crate::protocol::inventory_server::InventoryServer;
use crate::protocol::order_server::OrderServer;
use crate::protocol::payment_server::PaymentServer;
use crate::upstream::Upstream;
use clap::{Args, Parser, Subcommand};
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};

#[derive(Parser)]
#[command(name = "mesh-shop")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// An endpoint of the order service; calls inventory
    Order {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// An endpoint of the inventory service; calls payment
    Inventory {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// An endpoint of the payment service
    Payment {
        #[command(flatten)]
        place: Place,
    },
    /// The load generator; calls order
    Storefront {
        #[arg(long)]
        upstream: SocketAddr,
        /// Orders a second
        #[arg(long, default_value_t = 200)]
        rate: u32,
    },
}

#[derive(Args)]
struct Place {
    #[arg(long)]
    listen: SocketAddr,
    /// What the endpoint calls itself in its answers
    #[arg(long)]
    endpoint: String,
}

impl Place {
    fn hop(&self, service: &str) -> Hop {
        Hop {
            service: service.to_owned(),
            endpoint: self.endpoint.clone(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server::builder();
    match Arguments::parse().role {
        Role::Order { place, upstream } => {
            let service = OrderServer::new(OrderEndpoint {
                hop: place.hop("order"),
                inventory: Upstream::new(upstream)?,
            });
            serve(place.listen, server.add_service(service)).await
        }
        Role::Inventory { place, upstream } => {
            let service = InventoryServer::new(InventoryEndpoint {
                hop: place.hop("inventory"),
                payment: Arc::new(Upstream::new(upstream)?),
            });
            serve(place.listen, server.add_service(service)).await
        }
        Role::Payment { place } => {
            let service = PaymentServer::new(PaymentEndpoint {
                hop: place.hop("payment"),
            });
            serve(place.listen, server.add_service(service)).await
        }
        Role::Storefront { upstream, rate } => {
            Ok(storefront::place_orders(Upstream::new(upstream)?, rate).await?)
        }
    }
}

/// Says `listening` once callers can connect, then serves until the process ends.
async fn serve(listen: SocketAddr, router: Router) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    writeln!(io::stdout(), "listening")?;
    // A small message is not to wait for the acknowledgement of the one before it.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    router.serve_with_incoming(incoming).await?;
    Ok(())
}

//! Envoy and `HAProxy`: how each is told to do what a route to one Service does, on one thread.

use super::contenders::Server;
use mesh_tests::error::Context;
use mesh_tests::network::Pod;
use mesh_tests::process::Process;
use mesh_tests::{Result, binary};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

/// Where each of them listens, in the client's namespace as the mesh does.
pub(super) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9_000);

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    Envoy,
    HaProxy,
}

impl Rival {
    /// Starts it in a client's pod, in front of these servers: the one at [`LISTEN`], each further one a port higher.
    pub(super) fn start(self, pod: &Pod, servers: &[SocketAddr], place: &Path) -> Result<Process> {
        let (file, text) = match self {
            Self::Envoy => ("envoy.json", envoy(servers).to_string()),
            Self::HaProxy => ("haproxy.cfg", haproxy(servers)),
        };
        let path = place.join(file);
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        let mut command = match self {
            Self::Envoy => {
                let mut command = Command::new(binary::envoy()?);
                command.args(["--concurrency", "1", "--disable-hot-restart"]);
                command.args(["--log-level", "error", "--config-path"]);
                command
            }
            Self::HaProxy => {
                let mut command = Command::new(binary::haproxy()?);
                command.args(["-db", "-q", "-f"]);
                command
            }
        };
        command.arg(&path);
        let process = pod.spawn(command)?;
        for number in 0..servers.len() {
            pod.await_listening(listen(number))?;
        }
        Ok(process)
    }
}

/// Where a rival listens for its server of that number.
pub(super) fn listen(number: usize) -> SocketAddr {
    let offset = u16::try_from(number).expect("a benchmark has two servers");
    SocketAddr::new(LISTEN.ip(), LISTEN.port() + offset)
}

/// Whether the server of that number allows one RPC at a time on a connection.
fn is_narrow(number: usize) -> bool {
    number == Server::One as usize
}

fn envoy(servers: &[SocketAddr]) -> Value {
    let each = || servers.iter().copied().enumerate();
    json!({ "static_resources": {
        "listeners": each().map(|(number, _)| envoy_listener(number)).collect::<Vec<_>>(),
        "clusters": each().map(|(number, server)| envoy_cluster(number, server)).collect::<Vec<_>>(),
    } })
}

fn envoy_listener(number: usize) -> Value {
    let route = json!({
        "match": { "prefix": "/" },
        "route": { "cluster": format!("server-{number}"), "timeout": "0s" },
    });
    json!({
        "address": envoy_address(listen(number)),
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": format!("in-{number}"),
                "codec_type": "HTTP2",
                "http_filters": [{
                    "name": "router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                }],
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [route],
                }] },
            },
        }] }],
    })
}

fn envoy_cluster(number: usize, server: SocketAddr) -> Value {
    // Until a server's settings have come Envoy takes it that there is no limit, and passes on that a stream was refused.
    let options = if is_narrow(number) {
        json!({ "max_concurrent_streams": 1 })
    } else {
        json!({})
    };
    json!({
        "name": format!("server-{number}"),
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": format!("server-{number}"),
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": envoy_address(server) } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": options },
            },
        },
    })
}

fn envoy_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn haproxy(servers: &[SocketAddr]) -> String {
    let mut text = String::from(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n",
    );
    for (number, server) in servers.iter().enumerate() {
        let reuse = if is_narrow(number) { "never" } else { "always" };
        text.push_str(&format!(
            "frontend in-{number}\n  bind {} proto h2\n  default_backend out-{number}\n\
             backend out-{number}\n  http-reuse {reuse}\n  server server {server} proto h2\n",
            listen(number)
        ));
    }
    text
}

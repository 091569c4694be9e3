//! Support for behaviour tests: pods made of network namespaces and cgroups, agents, manifests and peers.
//!
//! Reading order: [`error`], [`deadline`], [`mounts`], then what a pod is made of ([`cgroup`], [`namespace`],
//! [`process`], [`network`], [`sockets`]), the agent and where it works ([`node`], [`agent`], [`config_dir`], [`manifest`],
//! [`metrics`], [`balance`], [`http`]), those who talk through the mesh ([`peer`], [`rpc`], [`status`], [`steady`], [`traced`], [`wire`] and [`heard`], [`beside`]; [`shop`] for the demo), the scene of
//! most tests ([`scene`]) and how results are judged ([`chi_square`], [`bpf`], [`collector`]).
//!
//! Nothing here leaves the machine: namespaces have no route out, and the host's own sockets stay on loopback.

pub mod error;

pub mod deadline;
pub mod mounts;

pub mod cgroup;
pub mod namespace;
pub mod network;
pub mod process;
pub mod sockets;

pub mod agent;
pub mod balance;
pub mod binary;
pub mod config_dir;
pub mod http;
pub mod manifest;
pub mod metrics;
pub mod node;
pub mod route;

pub mod ask;
pub mod beside;
pub mod features;
pub mod heard;
pub mod http2;
pub mod load;
pub mod metered;
pub mod peer;
pub mod prometheus;
pub mod resident;
pub mod rpc;
pub mod shop;
pub mod status;
pub mod steady;
pub mod traced;
pub mod wire;
pub mod witness;

pub mod backends;
pub mod fleet;
pub mod hostile;
pub mod pair;
pub mod relay;
pub mod routed;
pub mod scene;
pub mod script;
pub mod scripted;
pub mod stage;
pub mod witnessed;

pub mod bpf;
pub mod chi_square;
pub mod collector;
pub mod crafted;

pub use error::{Error, Result};

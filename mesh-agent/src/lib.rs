//! The node agent. Rooms in reading order; imports point down only (`tests/layering.rs`).
//!
//! L0 plain types: `model`, `grpc`, `observe`, `api`, `lifecycle` ·
//! L1 pure logic: `config`, `resilience`, `balance`, `route`, `plan`, `http2` ·
//! L2 I/O: `source`, `kernel`, `proxy`, `export` · L3 wiring: `reconcile`, `sampler`, `tracer`, `admin`, `cli`, `app`.

pub mod api;
pub mod grpc;
pub mod lifecycle;
pub mod model;
pub mod observe;

pub mod balance;
pub mod config;
pub mod http2;
pub mod plan;
pub mod resilience;
pub mod route;

pub mod export;
pub mod kernel;
pub mod proxy;
pub mod source;

pub mod admin;
pub mod app;
pub mod cli;
pub mod reconcile;
pub mod sampler;
pub mod tracer;

//! The node agent. Rooms in reading order; imports point down only (`tests/layering.rs`).
//!
//! L0 plain types: `model`, `observe`, `lifecycle` · L1 pure logic: `config`, `plan` ·
//! L2 I/O: `source`, `kernel`, `export` · L3 wiring: `reconcile`, `admin`, `cli`, `app`.

pub mod model;
pub mod observe;

pub mod plan;

pub mod kernel;

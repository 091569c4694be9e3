//! L1: manifests to checked objects. One file at a time; what needs several files is checked by [`crate::plan`].

mod backend_policy;
mod decode;
mod document;
mod duration;
mod gateway;
mod metadata;
mod node;
mod path;
mod policy;
mod policy_sections;
mod policy_spec;
mod reference;
mod report;
mod route;
mod service;
mod slice;
mod tree;
mod workload;
mod yaml;

pub use document::{parse_file, refuse_large_file, unreadable_file};

/// Largest file read, in bytes; a larger one is refused without reading it.
///
/// A Service with its 10,000 endpoints in slices takes about 3 MiB.
pub const FILE_SIZE_MAX: u64 = 8 << 20;

/// Problems kept of one file; how many more there are is said in one line.
pub const PROBLEMS_MAX: usize = 200;

#[cfg(test)]
mod tests;

//! What follows the heads of a request and its response: pieces relayed as the receiving side has room, counted as they pass.

mod download;
mod messages;
mod replay;
mod upload;

pub(super) use download::{Download, DownloadCut};
pub(super) use messages::MessageCount;
pub(super) use upload::{Upload, UploadCut};

use http::HeaderMap;

/// How a body ends.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    /// Without trailers.
    Plain,
    /// With these.
    Trailers(HeaderMap),
}

//! L0: what gRPC puts into HTTP/2: paths, statuses, deadlines, messages, push-back; no I/O.

mod code;
mod message;
mod path;
mod push_back;
mod timeout;

pub use code::Code;
pub use message::{decode_message, encode_message};
pub use path::GrpcPath;
pub use push_back::PushBack;
pub use timeout::{TimeoutText, parse_timeout};

//! `mesh-agent check`

use super::{CommandError, KernelArguments, OutputFormat, Verdict};
use crate::kernel::{self, Finding, Injections, Settings, Status};
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    kernel: KernelArguments,
}

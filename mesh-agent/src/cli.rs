//! L3: the command line. One file per command; tables for people, `-o json` for programs.

mod arguments;
mod check;
mod client;
mod connections;
mod endpoints;
mod explain;
mod in_force;
mod output;
mod routes;
mod run;
mod services;
mod status;
mod table;
mod tap;
mod top;
mod unload;
mod validate;

use arguments::{AdminArgument, KernelArguments};
use output::{OutputFormat, complain};
use std::process::ExitCode;

/// The node agent of the mesh: redirects and meters connections in the kernel.
#[derive(Debug, clap::Parser)]
#[command(
    name = "mesh-agent",
    version,
    about,
    after_help = "Exit status: 0 fine, 1 something is wrong, 2 wrong usage."
)]
pub struct CommandLine {
    /// How to print
    #[arg(
        short,
        long,
        global = true,
        env = "MESH_OUTPUT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: OutputFormat,

    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the agent until SIGTERM or SIGINT; the mesh stays in force when it ends
    Run(Box<run::RunArguments>),
    /// Try what this machine's kernel can do, and say what is missing and what helps
    Check(check::Arguments),
    /// Check a directory of manifests without a running agent
    Validate(validate::Arguments),
    /// Show programs, maps, configuration and problems of the running agent
    Status(AdminArgument),
    /// List the services in force
    Services(AdminArgument),
    /// List the endpoints of one service or of all
    Endpoints(endpoints::Arguments),
    /// List the routed service ports with their rules
    Routes(routes::Arguments),
    /// Say which path, rule, endpoints and policies a request would meet, and why; exit status 1: no endpoint answers it
    Explain(Box<explain::Arguments>),
    /// List the mesh connections open now
    Connections(AdminArgument),
    /// Show rate, errors and latency of each method, again every second
    Top(top::Arguments),
    /// Show RPCs as they end
    Tap(tap::Arguments),
    /// Detach and unpin everything; works without a running agent
    Unload(KernelArguments),
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    SomethingWrong,
}

/// Carries out a command.
#[must_use]
pub fn execute(line: CommandLine) -> ExitCode {
    let CommandLine { output, command } = line;
    let verdict = match command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments, output),
        Command::Validate(arguments) => validate::execute(&arguments, output),
        Command::Status(admin) => status::execute(admin, output),
        Command::Services(admin) => services::execute(admin, output),
        Command::Endpoints(arguments) => endpoints::execute(&arguments, output),
        Command::Routes(arguments) => routes::execute(&arguments, output),
        Command::Explain(arguments) => explain::execute(&arguments, output),
        Command::Connections(admin) => connections::execute(admin, output),
        Command::Top(arguments) => top::execute(arguments, output),
        Command::Tap(arguments) => tap::execute(&arguments, output),
        Command::Unload(kernel) => unload::execute(&kernel, output),
    };
    match verdict {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::SomethingWrong) => ExitCode::from(1),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(1)
        }
    }
}

/// Whatever stops a command; printed once, here.
type CommandError = Box<dyn std::error::Error>;

#[cfg(test)]
mod tests;

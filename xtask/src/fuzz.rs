//! `cargo xtask fuzz`: what reads bytes that anybody may have written, on inputs that a fuzzer makes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::error::Error;
use crate::process::{capture, cargo, command, run};
use crate::setup::{Scope, setup};
use crate::workspace;

/// How long to search.
#[derive(Args)]
pub(crate) struct FuzzOptions {
    /// Seconds, shared by the targets
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

/// A fuzz target, and the inputs that it tries in a test: as many as take some fifteen seconds on one CPU.
struct Target {
    name: &'static str,
    runs: u32,
}

const TARGETS: [Target; 6] = [
    Target {
        name: "stream",
        runs: 60_000,
    },
    Target {
        name: "calls",
        runs: 6_000,
    },
    Target {
        name: "routes",
        runs: 3_000,
    },
    Target {
        name: "grpc",
        runs: 300_000,
    },
    Target {
        name: "hpack",
        runs: 20_000,
    },
    Target {
        name: "http2",
        runs: 10_000,
    },
];

/// What a slow machine spends on one target of a test at most.
const TEST_SECONDS_MAX: u64 = 60;

/// What `SanitizerCoverage` puts into the code for libFuzzer; all of it is stable rustc's.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// Searches for a disagreement for as long as told, going on from what earlier searches found.
///
/// # Errors
/// When set-up or a build fails, or a disagreement is found.
pub(crate) fn fuzz(options: &FuzzOptions) -> Result<(), Error> {
    setup(Scope::Test)?;
    let built = build()?;
    let seconds = (options.seconds / TARGETS.len() as u64).max(1);
    for target in &TARGETS {
        run(engine(&built, target)?.arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

/// Tries the corpus, and a fixed number of inputs made of it by a fixed seed.
///
/// # Errors
/// When a build fails, or a disagreement is found.
pub(crate) fn fuzz_briefly() -> Result<(), Error> {
    run(&mut cargo(&["test", "--package", "mesh-fuzz"]))?;
    let built = build()?;
    match fs::remove_dir_all(found()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file("remove", found(), error));
        }
        Ok(()) | Err(_) => {}
    }
    for target in &TARGETS {
        run(engine(&built, target)?
            .arg("-seed=1")
            .arg(format!("-runs={}", target.runs))
            .arg(format!("-max_total_time={TEST_SECONDS_MAX}")))?;
    }
    Ok(())
}

/// Where inputs are kept that reach something new.
fn found() -> PathBuf {
    workspace::target().join("fuzz/found")
}

/// Builds the targets, apart from everything else: their dependencies are instrumented too.
fn build() -> Result<PathBuf, Error> {
    // A target that is named keeps the flags away from build scripts and macros.
    let version = capture(command("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or("x86_64-unknown-linux-gnu")
        .to_owned();
    let directory = workspace::target().join("fuzz");
    run(cargo(&["build", "--release", "--package", "mesh-fuzz"])
        .args(["--features", "engine", "--bins", "--target", &host])
        .arg("--target-dir")
        .arg(&directory)
        .env("RUSTFLAGS", INSTRUMENTATION)
        // Nothing here loads a kernel program, and its compiler knows no such flags.
        .env("AYA_BUILD_SKIP", "1"))?;
    Ok(directory.join(host).join("release"))
}

/// A target with its corpus; what it finds goes elsewhere.
fn engine(built: &std::path::Path, target: &Target) -> Result<Command, Error> {
    let found = found().join(target.name);
    fs::create_dir_all(&found).map_err(|source| Error::file("create", &found, source))?;
    let corpus = workspace::root()
        .join("tests/fuzz/corpus")
        .join(target.name);
    let crash = workspace::target()
        .join("fuzz")
        .join(format!("{}-", target.name));
    let mut engine = command(built.join(format!("fuzz-{}", target.name)));
    engine
        .arg(format!("-artifact_prefix={}", crash.display()))
        .args([
            "-max_len=2048",
            "-timeout=10",
            "-verbosity=0",
            "-print_final_stats=1",
        ])
        .args([found, corpus]);
    Ok(engine)
}

//! The distribution's packages.

use std::process::Command;

use crate::bpf_toolchain::BpfToolchain;
use crate::error::Error;
use crate::process::{capture, which};
use crate::setup::{Finding, Machine, Scope, Step, linker};

pub(super) const STEP: Step = Step {
    name: "packages",
    scope: Scope::Build,
    needs_root: true,
    possible: |_| which("apt-get").is_some(),
    inspect,
    carry_out,
    by_hand,
};

/// How to see that a package is not needed any more.
enum Sign {
    /// A program of it is in `PATH`.
    Program(&'static str),
    /// The package itself is installed.
    Package,
}

/// When a package is needed at all.
enum When {
    Always,
    /// No toolchain has the sources of `core`.
    NoBpfToolchain,
    /// `bpf-linker` has to be built.
    NoLinker,
}

struct Package {
    name: &'static str,
    scope: Scope,
    sign: Sign,
    when: When,
}

const fn package(name: &'static str, scope: Scope, sign: Sign, when: When) -> Package {
    Package {
        name,
        scope,
        sign,
        when,
    }
}

/// The LLVM packages are those of rustc-web's own LLVM: `bpf-linker` must read
/// the bitcode that this rustc writes.
const PACKAGES: &[Package] = &[
    package("gcc", Scope::Build, Sign::Program("cc"), When::Always),
    package("libc6-dev", Scope::Build, Sign::Package, When::Always),
    package("ca-certificates", Scope::Build, Sign::Package, When::Always),
    package(
        "rustc-web",
        Scope::Build,
        Sign::Package,
        When::NoBpfToolchain,
    ),
    package(
        "cargo-web",
        Scope::Build,
        Sign::Package,
        When::NoBpfToolchain,
    ),
    package(
        "rust-web-src",
        Scope::Build,
        Sign::Package,
        When::NoBpfToolchain,
    ),
    package("llvm-22-dev", Scope::Build, Sign::Package, When::NoLinker),
    package("zlib1g-dev", Scope::Build, Sign::Package, When::NoLinker),
    package("libzstd-dev", Scope::Build, Sign::Package, When::NoLinker),
    // libFuzzer is C++.
    package("g++", Scope::Test, Sign::Program("c++"), When::Always),
    package("iproute2", Scope::Run, Sign::Program("ip"), When::Always),
    package(
        "python3",
        Scope::Test,
        Sign::Program("python3"),
        When::Always,
    ),
    package("python3-venv", Scope::Test, Sign::Package, When::Always),
    package("nodejs", Scope::Test, Sign::Program("node"), When::Always),
    package("npm", Scope::Test, Sign::Program("npm"), When::Always),
];

fn inspect(machine: &Machine) -> Finding {
    let missing = missing(machine);
    if missing.is_empty() {
        return Finding::Ready("everything installed".to_owned());
    }
    Finding::Missing(missing.join(" "))
}

fn carry_out(machine: &Machine) -> Result<(), Error> {
    capture(apt_get().arg("update"))?;
    capture(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(missing(machine)),
    )?;
    Ok(())
}

fn by_hand(machine: &Machine) -> String {
    let missing = missing(machine).join(" ");
    if which("apt-get").is_some() {
        return format!(
            "as root: apt-get update && apt-get install --no-install-recommends {missing}"
        );
    }
    format!(
        "this is not Debian (no apt-get): install what these Debian packages hold: {missing}. \
         Instead of rustc-web, cargo-web and rust-web-src: \
         rustup toolchain install nightly --component rust-src. \
         Instead of llvm-22-dev: cargo install bpf-linker"
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn missing(machine: &Machine) -> Vec<&'static str> {
    let toolchain_is_missing = BpfToolchain::find().is_none();
    let linker_is_missing = !linker::is_installed();
    let installed = installed();
    PACKAGES
        .iter()
        .filter(|package| machine.scope.covers(package.scope))
        .filter(|package| match package.when {
            When::Always => true,
            When::NoBpfToolchain => toolchain_is_missing,
            When::NoLinker => linker_is_missing,
        })
        .filter(|package| match package.sign {
            Sign::Program(program) => which(program).is_none(),
            Sign::Package => installed
                .as_ref()
                .is_some_and(|installed| !installed.iter().any(|name| name == package.name)),
        })
        .map(|package| package.name)
        .collect()
}

/// The names of the installed packages, or nothing where there is no dpkg.
fn installed() -> Option<Vec<String>> {
    let listing = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .output()
        .ok()?;
    let names = String::from_utf8_lossy(&listing.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect();
    Some(names)
}

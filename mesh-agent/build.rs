//! Builds the kernel programs and leaves the object in `OUT_DIR/mesh-programs`.
//!
//! The toolchain is found by looking: a nightly with `rust-src` if rustup has one, else the toolchain that `cargo xtask
//! setup` links. `AYA_BUILD_SKIP=1` leaves an empty object instead: enough to check and test what does not load it.

use aya_build::{Package, Toolchain};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The toolchain that `cargo xtask setup` links with rustup.
const LINKED_TOOLCHAIN: &str = "mesh-bpf";

const REMEDY: &str =
    "run `cargo xtask setup`, or set AYA_BUILD_SKIP=1 to build without kernel programs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=AYA_BUILD_SKIP");
    println!("cargo:rerun-if-env-changed=PATH");
    let object = PathBuf::from(env::var("OUT_DIR")?).join("mesh-programs");
    if env::var("AYA_BUILD_SKIP").is_ok_and(|skip| skip == "1" || skip.eq_ignore_ascii_case("true"))
    {
        std::fs::write(&object, [])?;
        return Ok(());
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for input in [
        "mesh-common/src",
        "mesh-common/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    let linker =
        find("bpf-linker").ok_or_else(|| format!("bpf-linker is not in PATH: {REMEDY}"))?;
    println!("cargo:rerun-if-changed={}", linker.display());

    let toolchain = toolchain()?;
    let programs = root.join("mesh-ebpf");
    let root_dir = programs
        .to_str()
        .ok_or("the path of the workspace is not UTF-8: move it")?;
    aya_build::build_ebpf(
        [Package {
            name: "mesh-ebpf",
            root_dir,
            ..Package::default()
        }],
        toolchain,
    )?;
    Ok(())
}

/// A toolchain that can build `core` for the kernel's target.
fn toolchain() -> Result<Toolchain<'static>, Box<dyn Error>> {
    if has_core_sources("nightly") {
        return Ok(Toolchain::Nightly);
    }
    if has_core_sources(LINKED_TOOLCHAIN) {
        // The linked toolchain is a stable one: this makes it take `-Z build-std`.
        // SAFETY: nothing has started a thread yet that could read the environment.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
        return Ok(Toolchain::Custom(LINKED_TOOLCHAIN));
    }
    Err(format!("no toolchain for kernel programs (a rustup nightly with rust-src, or `{LINKED_TOOLCHAIN}`): {REMEDY}").into())
}

fn has_core_sources(toolchain: &str) -> bool {
    let sysroot = Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .env_remove("RUSTC")
        .output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout);
        output.status.success()
            && Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .is_file()
    })
}

/// The program of this name in `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

//! Builds the kernel programs and leaves the object in `OUT_DIR/mesh-programs`.
//!
//! The toolchain is the one that `cargo xtask setup` decides for, by the same code.
//! `AYA_BUILD_SKIP=1` leaves an empty object instead: enough to check and test what does not load it.

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use aya_build::{Package, Toolchain};
use bpf_toolchain::{BpfToolchain, LINKED_NAME};
use object::build::elf::{Builder, SectionData};
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

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
        "xtask/src/bpf_toolchain.rs",
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
    strip_debug_information(&object)
}

/// Removes DWARF, nine tenths of the object, which would go into the agent's binary and memory. The kernel's own
/// type and line information (`.BTF`, `.BTF.ext`) stays.
fn strip_debug_information(path: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let mut builder = Builder::read(bytes.as_slice())?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    builder.delete_orphans();
    // bpf-linker keeps all names in one table; the writer wants the sections' names in one of their own.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    std::fs::write(path, stripped)?;
    Ok(())
}

/// A toolchain that can build `core` for the kernel's target.
fn toolchain() -> Result<Toolchain<'static>, Box<dyn Error>> {
    let found = BpfToolchain::find().ok_or_else(|| {
        format!("no toolchain for kernel programs (a rustup nightly with rust-src, or `{LINKED_NAME}`): {REMEDY}")
    })?;
    if found.needs_bootstrap() {
        // It is a stable one: this makes it take `-Z build-std`.
        // SAFETY: nothing has started a thread yet that could read the environment.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    Ok(Toolchain::Custom(found.name()))
}

/// The program of this name in `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

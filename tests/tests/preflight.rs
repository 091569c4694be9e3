//! Where the mesh cannot run, `check` and `run` say which condition is not met, what follows and what to do.

use mesh_tests::Result;
use mesh_tests::bpf::FlaglessProgram;
use mesh_tests::cgroup::Cgroup;
use mesh_tests::error::Context;
use mesh_tests::node::{Node, admin_address, run};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// `nobody` on Debian.
const NOBODY: u32 = 65_534;

/// What a command printed, to either stream.
fn said(output: &Output) -> String {
    let bytes = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The findings of `check -o json`.
fn findings(mut command: Command) -> Result<Vec<Value>> {
    command.args(["-o", "json"]);
    let output = run(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).map_err(|error| mesh_tests::Error::Unreadable {
        from: "mesh-agent check -o json".to_owned(),
        answer: format!("{error}: {}", said(&output)),
    })
}

fn text_of<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}

/// Holds that `check` fails with one finding that says all of `words` and gives effect and remedy, and that `run`
/// refuses to start with the same words.
fn expect_refusal(
    case: &str,
    check: &mut dyn FnMut(&str) -> Result<Command>,
    words: &[&str],
) -> Result {
    let found = findings(check("check")?)?;
    let failed: Vec<_> = found
        .iter()
        .filter(|finding| finding["status"] == "failed")
        .collect();
    let named = failed.iter().find(|finding| {
        let text = format!(
            "{} {}",
            text_of(finding, "evidence"),
            text_of(finding, "remedy")
        );
        words.iter().all(|&word| text.contains(word))
    });
    let named =
        named.unwrap_or_else(|| panic!("{case}: no failed finding says {words:?}: {found:#?}"));
    for field in ["probe", "evidence", "effect", "remedy"] {
        assert!(
            !text_of(named, field).is_empty(),
            "{case}: no {field} in {named}"
        );
    }

    let check_output = run(check("check")?)?;
    assert_eq!(
        check_output.status.code(),
        Some(1),
        "{case}: {}",
        said(&check_output)
    );
    let run_output = run(check("run")?)?;
    assert_eq!(
        run_output.status.code(),
        Some(1),
        "{case}: {}",
        said(&run_output)
    );
    for output in [check_output, run_output] {
        let text = said(&output);
        assert!(
            words.iter().all(|&word| text.contains(word)),
            "{case}: {words:?} in {text}"
        );
    }
    Ok(())
}

/// A command of the agent with paths of the test's choice.
fn agent(verb: &str, node: &Node, cgroup: &Path, bpffs: &Path) -> Result<Command> {
    let mut command = Command::new(mesh_tests::binary::agent()?);
    command
        .arg(verb)
        .arg("--cgroup")
        .arg(cgroup)
        .arg("--bpffs")
        .arg(bpffs);
    if verb == "run" {
        command.arg("--config").arg(node.config().path());
        command.args(["--admin", &admin_address().to_string()]);
    }
    Ok(command)
}

#[test]
fn a_sound_machine_passes_and_check_leaves_nothing() -> Result {
    let node = Node::new("node-a")?;
    let output = run(node.command("check")?)?;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = findings(node.command("check")?)?;
    assert!(found.len() >= 5, "{found:#?}");
    assert!(
        found.iter().all(|finding| finding["status"] == "ok"),
        "{found:#?}"
    );
    assert!(
        !node.bpffs().exists(),
        "check left {}",
        node.bpffs().display()
    );
    Ok(())
}

#[test]
fn a_flagless_program_on_the_cgroup_is_named() -> Result {
    let node = Node::new("node-a")?;
    let _somebody = FlaglessProgram::attach(node.cgroup())?;
    let path = node.cgroup().path().display().to_string();
    let mut command = |verb: &str| agent(verb, &node, node.cgroup().path(), node.bpffs());
    expect_refusal("flagless program", &mut command, &["somebody_else", &path])
}

#[test]
fn a_flagless_program_on_a_cgroup_above_is_named() -> Result {
    let node = Node::new("node-a")?;
    let _somebody = FlaglessProgram::attach(node.cgroup())?;
    let below = node.cgroup().child("pods")?;
    let mut command = |verb: &str| agent(verb, &node, below.path(), node.bpffs());
    expect_refusal("flagless program above", &mut command, &["somebody_else"])
}

#[test]
fn a_pin_directory_that_is_no_bpffs_is_named() -> Result {
    let node = Node::new("node-a")?;
    let pins = node.config().scratch().join("pins");
    let mut command = |verb: &str| agent(verb, &node, node.cgroup().path(), &pins);
    let path = pins.display().to_string();
    expect_refusal("no bpffs", &mut command, &[&path, "mount -t bpf"])
}

#[test]
fn a_directory_that_is_no_cgroup_is_named() -> Result {
    let node = Node::new("node-a")?;
    let plain = node.config().scratch();
    let mut command = |verb: &str| agent(verb, &node, &plain, node.bpffs());
    let path = plain.display().to_string();
    expect_refusal("no cgroup", &mut command, &[&path, "cgroup2", "--cgroup"])
}

#[test]
fn a_user_that_is_not_root_is_told_so() -> Result {
    let node = Node::new("node-a")?;
    // Others may not look into a build directory below root's home: the agent is copied to where they may.
    let place = tempfile::tempdir().context(|| "make a temporary directory")?;
    let copy = place.path().join("mesh-agent");
    std::fs::copy(mesh_tests::binary::agent()?, &copy).context(|| "copy the agent")?;
    open_to_all(place.path())?;
    let mut command = |verb: &str| {
        let original = agent(verb, &node, node.cgroup().path(), node.bpffs())?;
        let mut command = Command::new(&copy);
        command.args(original.get_args()).uid(NOBODY).gid(NOBODY);
        Ok(command)
    };
    expect_refusal("not root", &mut command, &["root"])
}

fn open_to_all(path: &Path) -> Result {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .context(|| format!("open {}", path.display()))
}

#[test]
fn every_probe_that_fails_is_reported_and_stops_run() -> Result {
    let node = Node::new("node-a")?;
    let probes: Vec<_> = findings(node.command("check")?)?
        .iter()
        .map(|finding| text_of(finding, "probe").to_owned())
        .collect();
    assert!(probes.len() >= 5, "{probes:?}");
    for probe in &probes {
        let injection = format!("{probe}=failed:pretended for a test");
        let mut command = |verb: &str| {
            let mut command = agent(verb, &node, node.cgroup().path(), node.bpffs())?;
            command.env("MESH_INJECT_PROBE", &injection);
            Ok(command)
        };
        expect_refusal(probe, &mut command, &["pretended for a test"])?;
        let found = findings(command("check")?)?;
        let failed: Vec<_> = found
            .iter()
            .filter(|finding| finding["status"] == "failed")
            .collect();
        assert_eq!(failed.len(), 1, "{probe}: {failed:#?}");
        assert_eq!(text_of(failed[0], "probe"), probe);
    }
    Ok(())
}

#[test]
fn a_cgroup_that_does_not_exist_is_named() -> Result {
    let node = Node::new("node-a")?;
    let gone = Cgroup::new()?.path().to_owned();
    let mut command = |verb: &str| agent(verb, &node, &gone, node.bpffs());
    expect_refusal(
        "no such cgroup",
        &mut command,
        &[&gone.display().to_string()],
    )
}

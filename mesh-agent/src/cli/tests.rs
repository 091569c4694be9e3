//! The command line as a whole, and the file that shows its settings.

use super::CommandLine;
use clap::{Arg, ArgAction, Command, CommandFactory as _, Parser as _};
use std::fmt::Write as _;

#[test]
fn the_definitions_hold_together() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_flag_has_help_and_an_environment_variable() {
    for command in CommandLine::command().get_subcommands() {
        for flag in flags(command) {
            let name = flag.get_id();
            assert!(flag.get_help().is_some(), "{name} has no help");
            let variable = flag.get_env().and_then(|name| name.to_str());
            let expected = format!("MESH_{}", name.as_str().to_uppercase());
            assert_eq!(variable, Some(expected.as_str()), "of {name}");
        }
    }
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for (line, code) in [
        (&["mesh-agent"][..], 2),
        (&["mesh-agent", "run", "--unknown"][..], 2),
        (
            &[
                "mesh-agent",
                "run",
                "--config",
                "x",
                "--service-capacity",
                "0",
            ][..],
            2,
        ),
        (
            &[
                "mesh-agent",
                "run",
                "--config",
                "x",
                "--otlp",
                "https://a:1",
            ][..],
            2,
        ),
        (
            &["mesh-agent", "run", "--config", "x", "--trace-ratio", "2"][..],
            2,
        ),
        (
            &["mesh-agent", "run", "--config", "x", "--trace-slow", "9"][..],
            2,
        ),
        (&["mesh-agent", "status", "--admin", "localhost"][..], 2),
        (&["mesh-agent", "status", "-o", "xml"][..], 2),
        (&["mesh-agent", "--help"][..], 0),
        (&["mesh-agent", "--version"][..], 0),
    ] {
        let error = CommandLine::try_parse_from(line).unwrap_err();
        assert_eq!(error.exit_code(), code, "{line:?}");
    }
}

#[test]
fn output_is_chosen_before_or_after_the_command() {
    for line in [
        ["mesh-agent", "-o", "json", "services"],
        ["mesh-agent", "services", "-o", "json"],
    ] {
        let parsed = CommandLine::try_parse_from(line).unwrap();
        assert_eq!(parsed.output, super::OutputFormat::Json);
    }
}

/// `config/agent.toml` is documentation that cannot be wrong: this is its text.
#[test]
fn the_file_that_shows_the_settings_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/agent.toml");
    let expected = settings_shown();
    let shown = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shown == expected,
        "config/agent.toml does not show the settings as they are; it should be:\n{expected}"
    );
}

fn settings_shown() -> String {
    let mut text = "\
# The settings of `mesh-agent run`, each with its default. The agent does not read this file: give a setting as
# the flag or as the environment variable named with it (a systemd EnvironmentFile, a container's env).
"
    .to_owned();
    let command = CommandLine::command();
    let run = command.find_subcommand("run").unwrap();
    for flag in flags(run).filter(|flag| !flag.is_hide_set()) {
        let long = flag.get_long().unwrap();
        let default = flag.get_default_values().first();
        let value = match default.map(|value| value.to_str().unwrap()) {
            _ if matches!(flag.get_action(), ArgAction::SetTrue) => "false".to_owned(),
            Some(number) if number.parse::<f64>().is_ok() => number.to_owned(),
            Some(truth) if truth.parse::<bool>().is_ok() => truth.to_owned(),
            Some(text) => format!("\"{text}\""),
            None => "\"\"".to_owned(),
        };
        let help = flag.get_help().unwrap();
        let variable = flag.get_env().unwrap().to_str().unwrap();
        let unset = if value == "\"\"" { "# " } else { "" };
        writeln!(text, "\n# {help}.\n# --{long}, {variable}").unwrap();
        writeln!(text, "{unset}{} = {value}", long.replace('-', "_")).unwrap();
    }
    text
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|argument| !argument.is_positional())
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version" | "output"))
}

//! `varangian start`.

use super::{FAILED, STORE, USAGE};
use crate::config::{Config, LogFormat, Settings};
use crate::event::Events;
use crate::home::Home;
use crate::process::{self, ProcessError};
use clap::Args;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Runs a replica. Settings come from its config.toml; `--set` and VARANGIAN__SECTION__KEY go before it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian start --home r0\n  varangian start --home r0 --set log.level=debug --json\n\nSIGHUP reads peers.toml again; SIGTERM and Ctrl-C stop it in order.\nExit codes: 0 stopped, 1 failed while running, 2 wrong settings, 3 the store refuses."
)]
pub struct StartArgs {
    /// The replica's home directory
    #[arg(long, value_name = "DIR")]
    pub home: PathBuf,
    /// A setting for this run
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Events on standard output as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// None: failures are printed, and told apart by exit code.
pub async fn run(args: StartArgs) -> anyhow::Result<ExitCode> {
    let (home, settings) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(code) => return Ok(code),
    };
    Ok(report(process::run(&home, &settings, Events::new(args.json)).await))
}

/// Reads the settings and starts the log.
///
/// # Errors
/// The exit code, after the reason was printed.
pub fn prepare(args: &StartArgs) -> Result<(Home, Settings), ExitCode> {
    let home = Home::new(&args.home);
    let config = Config::load(&home.config(), std::env::vars(), &args.set);
    let settings = match config.and_then(|config| config.settings()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("error: {error}");
            return Err(ExitCode::from(USAGE));
        }
    };
    match EnvFilter::try_new(&settings.log_level) {
        Ok(filter) => {
            let log = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_ansi(std::io::stderr().is_terminal())
                // A log that cannot be written, to a full disk say, must not take the thread down that writes to it.
                .log_internal_errors(false)
                .with_writer(std::io::stderr);
            match settings.log_format {
                LogFormat::Text => log.init(),
                LogFormat::Json => log.json().init(),
            }
        }
        Err(error) => {
            eprintln!("error: `log.level`: {error}");
            return Err(ExitCode::from(USAGE));
        }
    }
    #[cfg(feature = "seeded-bugs")]
    seed_bug()?;
    Ok((home, settings))
}

/// Switches on the bug on purpose that the environment names.
#[cfg(feature = "seeded-bugs")]
fn seed_bug() -> Result<(), ExitCode> {
    use varangian_crypto::seeded::{Bug, seed};
    tracing::error!("this build can have a bug on purpose: it is not for use");
    let Some(name) = std::env::var_os("VARANGIAN_SEEDED_BUG") else { return Ok(()) };
    let bug = name.to_str().and_then(Bug::named).ok_or_else(|| {
        eprintln!("error: VARANGIAN_SEEDED_BUG: there is no bug {name:?}");
        ExitCode::from(USAGE)
    })?;
    tracing::error!(bug = bug.name(), "{}", bug.description());
    seed(Some(bug));
    Ok(())
}

/// Prints how a process ended, and gives its exit code.
#[must_use]
pub fn report(outcome: Result<(), ProcessError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `eprintln!`, which panics where nothing can be written; the exit code says it all the same.
            let _unwritten = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(if error.is_store() { STORE } else { FAILED })
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is SECTION.KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

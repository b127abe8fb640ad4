//! The programs that replicas run.

use anyhow::{Context as _, anyhow};
use std::path::{Path, PathBuf};

/// The two programs: honest replicas never run the one that holds malicious code.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Runs honest replicas.
    pub honest: PathBuf,
    /// Runs malicious ones.
    pub malicious: PathBuf,
}

impl Programs {
    /// Beside this program, unless the environment names others.
    ///
    /// # Errors
    /// If one is missing.
    pub fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where this program is")?;
        let mut dir = own.parent().unwrap_or(Path::new("."));
        // Test programs lie one level below the programs proper.
        if dir.file_name().is_some_and(|name| name == "deps") {
            dir = dir.parent().unwrap_or(dir);
        }
        let find = |variable: &str, name: &str| {
            let path = std::env::var_os(variable).map_or_else(|| dir.join(name), PathBuf::from);
            if path.exists() {
                return Ok(path);
            }
            Err(anyhow!("{} is missing; build it: cargo build --release -p {name}", path.display()))
        };
        Ok(Self {
            honest: find("VARANGIAN_BINARY", "varangian")?,
            malicious: find("VARANGIAN_TESTNET_BINARY", "varangian-testnet")?,
        })
    }
}

//! Compiles the command line without the database.
#[path = "../../src/cli"]
mod cli {
    pub mod kv;
}
use cli::kv;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    kv: kv::KvArgs,
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(kv::run(<Arguments as clap::Parser>::parse().kv))
}

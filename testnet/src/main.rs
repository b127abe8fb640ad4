//! The testnet's command line.

fn main() -> std::process::ExitCode {
    varangian_testnet::cli::main()
}

//! The replica and its tools.

fn main() -> std::process::ExitCode {
    varangian::cli::main()
}

//! Runs one target on one file, with the whole story: `cargo run -p varangian-fuzz --example replay -- cluster FILE`.

use std::error::Error;
use std::{env, fs};
use varangian_fuzz::target;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(name), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("replay TARGET FILE".into());
    };
    let accepted = (target(&name).run)(&fs::read(file)?);
    println!("{}", if accepted { "accepted" } else { "refused" });
    Ok(())
}

//! Writes the seeds of each target into the corpus, under names of their content: `cargo run -p varangian-fuzz --example seeds`.

use std::error::Error;
use std::fs;
use std::path::Path;
use varangian_crypto::sha256;
use varangian_fuzz::TARGETS;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for seed in (target.seeds)() {
            let name: String = sha256("seed", &[&seed]).to_string().chars().take(16).collect();
            fs::write(folder.join(name), seed)?;
        }
        println!("{}: {} files", target.name, fs::read_dir(&folder)?.count());
    }
    Ok(())
}

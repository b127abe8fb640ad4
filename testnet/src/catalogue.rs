//! The catalogue of attacks, menaces and faults, by the rows of the table of attacks (docs/adversary.md).

use crate::menace::MENACES;
use varangian_sim::adversary::ATTACKS;

/// What each row is after, by its number from 1 on: safety, liveness, performance, fairness, state transfer, exhaustion, recovery.
const HITS: [&str; 30] = [
    "S",
    "L",
    "P",
    "F L",
    "S X",
    "L",
    "L T",
    "X L",
    "L",
    "S",
    "S",
    "L X",
    "S L X",
    "S T",
    "T X",
    "T",
    "S L P F T X R",
    "S",
    "X",
    "L",
    "L",
    "S",
    "S R",
    "R",
    "T",
    "L",
    "L",
    "S F",
    "X F",
    "S L",
];
const WORDS: [(&str, &str); 7] = [
    ("S", "safety"),
    ("L", "liveness"),
    ("P", "performance"),
    ("F", "fairness"),
    ("T", "state transfer"),
    ("X", "resources"),
    ("R", "recovery"),
];

/// Faults that are neither a replica's lies nor a client's: which steps or keys of a scenario play them, with their rows.
pub(crate) const FAULTS: [(&str, &[u8], &str, &str); 10] = [
    (
        "links, shape, cut, partition",
        &[20],
        "loss, duplication, reordering, one-way and long partitions, flapping links",
        "state is told again, not events",
    ),
    ("timing", &[20], "synchronous, partially synchronous and asynchronous links", "safety never depends on time"),
    ("kill, restart", &[24, 30], "crashes, rolling restarts", "own durable votes are told again to self and peers"),
    ("power-loss", &[22, 24], "crashes that lose what was not synced, of all at once too", "durable before sent"),
    ("pause, resume", &[30], "replicas that stand still with open connections", "a timer per pending command"),
    (
        "fill-disk, fail-sync, corrupt, wipe-disk",
        &[22, 23],
        "full, rotten and empty disks, disks that cannot sync or lost votes",
        "a failed write or sync is final; checksums and a high-water mark of votes; refuse, keep as evidence",
    ),
    (
        "save-disk, restore-disk",
        &[22, 23],
        "rolled back disks",
        "a replica that is shown an own vote that its disk does not know stops, restarts included",
    ),
    ("twins-for", &[1, 10], "one key in two replicas", "a replica that meets its own unknown vote stops"),
    ("more than f under [attacks]", &[18], "a fork", "none; at least f + 1 are proved guilty, and nobody else"),
    ("away past log pruning", &[15, 25], "not played: comes with snapshot transfer", "needs-snapshot is an alarm"),
];

/// What rows are after, in words.
fn hits(rows: &[u8]) -> String {
    let letters: Vec<&str> = rows
        .iter()
        .filter_map(|row| HITS.get(usize::from(*row).checked_sub(1)?))
        .flat_map(|hits| hits.split(' '))
        .collect();
    let words = WORDS.iter().filter(|(letter, _)| letters.contains(letter)).map(|(_, word)| *word);
    words.collect::<Vec<_>>().join(", ")
}

/// All of it, for people.
#[must_use]
pub fn list() -> String {
    let rows = |rows: &[u8]| rows.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::from("MALICIOUS REPLICAS (under [attacks], `up --malicious`, `attack`)\n");
    for kind in &ATTACKS {
        let provable = if kind.provable() { kind.evidence.join(", or ") } else { "not provable".to_owned() };
        text.push_str(&format!(
            "{:<24} {} [{}]\n{:<24} hits {}; held off by: {} ({provable})\n",
            kind.name,
            kind.description,
            rows(kind.rows),
            "",
            hits(kind.rows),
            kind.defence
        ));
    }
    for (head, clients) in [
        ("MALICIOUS CLIENTS (under [menaces], `menace`)", true),
        ("OUTSIDERS ON THE WIRE (under [menaces], `menace`)", false),
    ] {
        text.push_str(&format!("\n{head}\n"));
        for kind in MENACES.iter().filter(|kind| kind.client == clients) {
            text.push_str(&format!(
                "{:<24} {} [{}], {} a second\n{:<24} hits {}; held off by: {}\n",
                kind.name,
                kind.description,
                rows(kind.rows),
                kind.rate,
                "",
                hits(kind.rows),
                kind.defence
            ));
        }
    }
    text.push_str("\nFAULTS (steps and keys of scenarios)\n");
    for (name, numbers, what, defence) in FAULTS {
        text.push_str(&format!(
            "{name:<30} {what} [{}]\n{:<30} hits {}; held off by: {defence}\n",
            rows(numbers),
            "",
            hits(numbers)
        ));
    }
    text.push_str(
        "\ntriggers: NAME@view=2..5  NAME@slot=10..20  NAME@p=0.3,seed=7  NAME@never; several attacks of one replica: A+B@TRIGGER; a menace's rate: NAME,rate=N\nIn brackets: rows of the table of attacks. Of clocks that run wrong (21) real processes play one replica's timers; clocks as a whole are the simulator's: `scenario run skewed-clocks --sim`.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, hits, list};
    use crate::menace::MENACES;
    use varangian_sim::adversary::ATTACKS;

    #[test]
    fn everything_is_listed_with_what_it_hits() {
        let list = list();
        let names = ATTACKS.iter().map(|kind| kind.name).chain(MENACES.iter().map(|kind| kind.name));
        for name in names.chain(FAULTS.iter().map(|(name, ..)| *name)) {
            assert!(list.lines().any(|line| line.starts_with(name)), "{name}");
        }
        let rows = ATTACKS.iter().map(|kind| kind.rows).chain(MENACES.iter().map(|kind| kind.rows));
        for rows in rows.chain(FAULTS.iter().map(|(_, rows, ..)| *rows)) {
            assert!(!hits(rows).is_empty(), "{rows:?}");
        }
        assert_eq!(hits(&[4, 5]), "safety, liveness, fairness, resources");
    }
}

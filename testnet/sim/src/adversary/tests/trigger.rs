use crate::adversary::{AttackError, Probability, Span, Trigger};
use varangian_consensus::{Slot, View};

fn at(trigger: &str, view: u64, slot: u64) -> bool {
    trigger.parse::<Trigger>().unwrap().strikes(View(view), Some(Slot(slot)))
}

fn anywhere(trigger: &str, view: u64) -> bool {
    trigger.parse::<Trigger>().unwrap().strikes(View(view), None)
}

#[test]
fn each_trigger_strikes_where_its_text_says() {
    assert!(at("always", 0, 1) && anywhere("always", 0));
    assert!(!at("never", 0, 1) && !anywhere("never", 0));

    let views: Vec<u64> = (0..9).filter(|view| at("view=2..5", *view, 1) && anywhere("view=2..5", *view)).collect();
    assert_eq!(views, [2, 3, 4]);
    let views: Vec<u64> = (0..9).filter(|view| at("view=7..", *view, 1)).collect();
    assert_eq!(views, [7, 8]);
    assert!(at("view=2", 2, 1) && !at("view=2", 3, 1) && !at("view=2", 1, 1));

    let slots: Vec<u64> = (1..40).filter(|slot| at("slot=10..13", 6, *slot)).collect();
    assert_eq!(slots, [10, 11, 12]);
    assert!(!anywhere("slot=0..", 6), "what belongs to no slot lies in no range of slots");
    assert!(at("slot=18446744073709551614", 0, u64::MAX - 1) && at("slot=2..", 0, u64::MAX));
}

/// The same place is decided alike every time; the seed decides which, the probability how many.
#[test]
fn random_places_are_drawn_by_the_seed() {
    let places: Vec<_> = (0..100).flat_map(|view| (1..=100).map(move |slot| (view, slot))).collect();
    let drawn =
        |text: &str| -> Vec<_> { places.iter().copied().filter(|(view, slot)| at(text, *view, *slot)).collect() };

    let first = drawn("p=0.3,seed=7");
    assert_eq!(first, drawn("p=0.3,seed=7"));
    assert!((2_800..3_200).contains(&first.len()), "{} of 10000 places at p=0.3", first.len());
    let other = drawn("p=0.3,seed=8");
    let common = first.iter().filter(|place| other.contains(place)).count();
    assert!((700..1_100).contains(&common), "{common} places are common to two seeds at p=0.3, by chance 900");
    assert_eq!(drawn("p=0.3"), drawn("p=0.3,seed=0"));

    assert_eq!(drawn("p=0,seed=7"), []);
    assert_eq!(drawn("p=1,seed=7"), places);
    let by_view = (0..1000).filter(|view| anywhere("p=0.5,seed=3", *view)).count();
    assert!((400..600).contains(&by_view), "{by_view} of 1000 views at p=0.5");
}

/// Other runs draw other places, the same run the same ones; what draws nothing is as it was.
#[test]
fn the_seed_of_a_run_decides_with_that_of_the_trigger() {
    let drawn = |text: &str, run: u64| -> Vec<u64> {
        let trigger = text.parse::<Trigger>().unwrap().mixed(run);
        // As it is told to a process, and again to the one that is started after it.
        assert_eq!(trigger.to_string().parse::<Trigger>(), Ok(trigger));
        (1..=400).filter(|slot| trigger.strikes(View(0), Some(Slot(*slot)))).collect()
    };
    let first = drawn("p=0.3,seed=7", 1);
    assert_eq!(first, drawn("p=0.3,seed=7", 1));
    assert!((80..160).contains(&first.len()), "{}", first.len());
    for (text, run) in
        [("p=0.3,seed=7", 2), ("p=0.3,seed=7", 7), ("p=0.3,seed=1", 7), ("p=0.3,seed=8", 1), ("p=0.3", 0)]
    {
        let common = drawn(text, run).iter().filter(|slot| first.contains(slot)).count();
        assert!((10..70).contains(&common), "{text} in run {run}: {common} places are common, by chance 36");
    }
    for text in ["always", "never", "view=2..5", "slot=10.."] {
        assert_eq!(text.parse::<Trigger>().unwrap().mixed(9), text.parse().unwrap());
    }
}

/// Frozen: a seed in a report means the same places for ever.
#[test]
fn a_seed_means_the_same_places_for_ever() {
    let drawn: Vec<u64> = (1..=40).filter(|slot| at("p=0.25,seed=42", 3, *slot)).collect();
    assert_eq!(drawn, FROZEN);
}

const FROZEN: [u64; 9] = [11, 12, 19, 23, 24, 26, 32, 36, 37];

#[test]
fn text_and_trigger_are_the_same_thing() {
    for text in
        ["never", "always", "view=2..5", "view=2..", "slot=10..20", "p=0.3,seed=7", "p=1,seed=0", "p=0.000001,seed=9"]
    {
        assert_eq!(text.parse::<Trigger>().unwrap().to_string(), text);
    }
    assert_eq!("view=3".parse::<Trigger>(), "view=3..4".parse());
    assert_eq!("p=0.5,seed=1".parse::<Trigger>(), "p=0.500,seed=1".parse());
}

#[test]
fn what_is_no_trigger_is_refused_with_what_to_write() {
    let refused = |text: &str| text.parse::<Trigger>().unwrap_err();
    for text in [
        "view=",
        "view=5..2",
        "view=2..2",
        "slot=a",
        "slot=-1..3",
        "slot=+1",
        "view=1..=2",
        "view=18446744073709551615",
    ] {
        assert!(matches!(refused(text), AttackError::Range { .. }), "{text}");
    }
    for text in ["p=", "p=1.1", "p=2", "p=-0.1", "p=0.1234567", "p=0.", "p=.5", "p=1.000001", "p=0.3x", "p=1e-3"] {
        assert!(matches!(refused(text), AttackError::Probability { .. }), "{text}");
    }
    assert!(matches!(refused("p=0.3,seed=x"), AttackError::Seed { .. }));
    assert!(matches!(refused("p=0.3,seed="), AttackError::Seed { .. }));
    let told = refused("sloot=3").to_string();
    assert!(told.contains("did you mean \"slot\"") && told.contains("slot=100..200"), "{told}");
    assert!(refused("alway").to_string().contains("did you mean \"always\""));
    assert!(!refused("").to_string().contains("did you mean"));
    assert!(!refused("whenever it rains").to_string().contains("did you mean"));
}

#[test]
fn spans_are_never_empty_and_probabilities_at_most_one() {
    assert_eq!(Span::new(3, Some(3)), None);
    assert!(Span::new(3, Some(4)).unwrap().contains(3));
    assert_eq!(Probability::from_millionths(1_000_001), None);
    assert_eq!(Probability::from_millionths(1_000_000).unwrap().to_string(), "1");
}

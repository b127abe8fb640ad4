use super::recorder::{Call, adversary, batch, propose, setup};
use crate::adversary::{ATTACKS, Attack, AttackError, Trigger};
use std::collections::BTreeSet;

#[test]
fn every_attack_has_a_name_of_its_own_and_says_what_it_is() {
    let names: BTreeSet<_> = ATTACKS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), ATTACKS.len());
    for kind in &ATTACKS {
        assert!(!kind.description.is_empty() && !kind.defence.is_empty(), "{}", kind.name);
        assert!(!kind.rows.is_empty() && kind.rows.iter().all(|row| (1..=30).contains(row)), "{}", kind.name);
        let attack = Attack::parse(kind.name).unwrap();
        assert_eq!(
            (attack.kind().name, attack.trigger(), attack.to_string().as_str()),
            (kind.name, Trigger::Always, kind.name)
        );
    }
}

#[test]
fn an_attack_is_a_name_and_a_trigger() {
    for text in ["equivocate@view=2..5", "withhold@slot=10..20", "silent@p=0.3,seed=7", "double-vote@never"] {
        assert_eq!(text.parse::<Attack>().unwrap().to_string(), text);
    }
    let attack = Attack::parse("withhold-partly@always").unwrap();
    assert_eq!(attack.to_string(), "withhold-partly");
    assert_eq!(attack.with_trigger("view=1".parse().unwrap()).to_string(), "withhold-partly@view=1..2");
}

#[test]
fn a_slip_of_the_hand_is_answered_with_the_right_name() {
    for (slip, meant) in [
        ("equivocat", "equivocate"),
        ("eqiuvocate", "equivocate"),
        ("silence", "silent"),
        ("double", "double-vote"),
        ("witholdpartly", "withhold-partly"),
    ] {
        let error = Attack::parse(slip).unwrap_err();
        assert!(
            matches!(&error, AttackError::UnknownAttack { suggestion, .. } if *suggestion == Some(meant)),
            "{error}"
        );
        assert!(error.to_string().contains(meant));
    }
    let error = Attack::parse("meteor").unwrap_err();
    assert!(matches!(&error, AttackError::UnknownAttack { suggestion: None, .. }), "{error}");
    assert!(ATTACKS.iter().all(|kind| error.to_string().contains(kind.name)), "{error}");
    assert!(matches!(Attack::parse("silent@vew=2"), Err(AttackError::UnknownTrigger { suggestion: Some("view"), .. })));
    assert!(matches!(Attack::parse("silent@"), Err(AttackError::UnknownTrigger { .. })));
}

/// Parsing gives the behaviour that the name says: each acts on a proposal as only it does.
#[test]
fn the_name_chooses_the_behaviour() {
    let setup = setup(4);
    let votes_told = |attack: &str| {
        let mut io = adversary(&setup, 0, attack);
        propose(&mut io, 0, 1, &batch(&setup, 2));
        let calls = &io.inner().calls;
        let votes = calls.iter().filter(|call| matches!(call, Call::Vote(_))).count();
        let sent = calls.iter().filter(|call| matches!(call, Call::Send(..))).count();
        (votes, sent)
    };
    assert_eq!(votes_told("silent"), (0, 0));
    // Pre-prepare and body to two backups, and to the third these and the COMMIT.
    assert_eq!(votes_told("equivocate"), (0, 7));
    for honest in ["withhold", "withhold-partly", "double-vote", "equivocate@never", "silent@view=4"] {
        assert_eq!(votes_told(honest), (1, 0), "{honest}");
    }
}

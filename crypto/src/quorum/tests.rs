#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloc::vec::Vec;

use crate::{Quorums, ReplicaId};

#[test]
fn fewer_than_four_survive_nothing() {
    assert_eq!((0..4).find_map(Quorums::new), None);
}

#[test]
fn quorums_intersect_in_an_honest_replica_and_the_honest_are_one() {
    for n in 4..=200 {
        let sizes = Quorums::new(n).unwrap();
        let (n, f, q) = (sizes.n(), sizes.f(), sizes.quorum());
        assert!(3 * f < n && n <= 3 * f + 3, "n = {n}: f is the largest number below a third");
        assert!(2 * q - n > f, "n = {n}: two quorums share an honest replica");
        assert!(q <= n - f, "n = {n}: the honest are a quorum");
        assert!(2 * (q - 1) - n.min(2 * (q - 1)) <= f, "n = {n}: no smaller quorum would do");
        assert_eq!(sizes.weak(), f + 1);
    }
}

#[test]
fn for_three_f_plus_one_the_quorum_is_the_papers() {
    for f in 1..=60 {
        let sizes = Quorums::new(3 * f + 1).unwrap();
        assert_eq!(sizes.f(), usize::from(f));
        assert_eq!(sizes.quorum(), usize::from(2 * f + 1));
    }
}

#[test]
fn primaries_take_turns() {
    let sizes = Quorums::new(7).unwrap();
    let turn: Vec<_> = (0..14).map(|view| sizes.primary(view).0).collect();
    assert_eq!(turn, [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(u64::from(sizes.primary(u64::MAX).0), u64::MAX % 7);
}

#[test]
fn members_are_below_n() {
    let sizes = Quorums::new(5).unwrap();
    let ids: Vec<_> = sizes.replicas().collect();
    assert_eq!(ids, [0, 1, 2, 3, 4].map(ReplicaId));
    assert!(ids.iter().all(|id| sizes.contains(*id)));
    assert!(!sizes.contains(ReplicaId(5)));
}

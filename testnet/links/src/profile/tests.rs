#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn every_link_of_every_profile_is_within_bounds() {
    for profile in &PROFILES {
        assert_eq!(profile.round_trips_ms.len(), profile.regions.len(), "{}", profile.name);
        for row in profile.round_trips_ms {
            assert_eq!(row.len(), profile.regions.len(), "{}", profile.name);
        }
        for from in 0..12 {
            for to in 0..12 {
                assert_eq!(profile.shape(from, to).check(), Ok(()), "{}: {from} to {to}", profile.name);
            }
        }
    }
}

#[test]
fn names_are_found_and_differ() {
    for profile in &PROFILES {
        assert_eq!(Profile::named(profile.name), Some(profile));
    }
    assert_eq!(Profile::named("lan-party"), None);
}

#[test]
fn replicas_are_in_regions_in_turn() {
    let profile = Profile::named("wan-3-regions").unwrap();
    // West US 2 (1, 4) to West Europe (2, 5), and back.
    for (from, to, latency_ms) in [(1, 2, 73.5), (4, 5, 73.5), (2, 1, 76.5), (5, 4, 76.5), (0, 3, 0.5)] {
        assert_eq!(profile.shape(from, to), Shape { latency_ms, ..profile.base }, "{from} to {to}");
    }
}

/// A slip in the table would show: the two ways differ by what measuring does, and no way is shorter than light in glass would need for the distance.
#[test]
fn round_trips_are_plausible() {
    let kilometres = [
        ("wan-3-regions", 0, 1, 3_500.0),
        ("wan-3-regions", 0, 2, 6_200.0),
        ("wan-3-regions", 1, 2, 7_800.0),
        ("wan-5-continents", 0, 1, 6_200.0),
        ("wan-5-continents", 0, 2, 15_600.0),
        ("wan-5-continents", 0, 3, 7_600.0),
        ("wan-5-continents", 0, 4, 15_500.0),
        ("wan-5-continents", 1, 2, 10_500.0),
        ("wan-5-continents", 1, 3, 9_700.0),
        ("wan-5-continents", 1, 4, 16_600.0),
        ("wan-5-continents", 2, 3, 16_000.0),
        ("wan-5-continents", 2, 4, 6_300.0),
        ("wan-5-continents", 3, 4, 13_400.0),
    ];
    for (name, one, other, distance) in kilometres {
        let profile = Profile::named(name).unwrap();
        let (there, back) = (profile.round_trips_ms[one][other], profile.round_trips_ms[other][one]);
        assert!((there - back).abs() <= 6.0, "{name}: {one} and {other}: {there}, {back}");
        let light = 2.0 * distance / 204.0;
        assert!(
            there >= light && there <= light * 3.0,
            "{name}: {one} and {other}: {there} ms, light needs {light:.0}"
        );
    }
}

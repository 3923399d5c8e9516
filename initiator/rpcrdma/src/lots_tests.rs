use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells a process of this test what to claim its lots under, and how many.
const ROLE: &str = "RPCRDMA_TEST_CLAIMS";

/// Claims that no other test, and no connection, sees.
fn own_claims(test: &str) -> String {
    format!("rpcrdma-test-{}-{test}/", std::process::id())
}

fn host(claims: &str) -> Lots {
    Lots::Host { claims: claims.to_owned() }
}

#[test]
fn connections_in_many_threads_never_share_xids() {
    let claims = own_claims("threads");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut lots = host(&claims);
            std::thread::spawn(move || (0..16).map(|_| lots.claim().unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let lots: Vec<Lot> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let bases: BTreeSet<u32> = lots.iter().map(Lot::base).collect();
    assert_eq!(bases.len(), 128);
}

#[test]
fn when_every_lot_is_taken_the_error_says_what_to_do() {
    let mut lots = host(&own_claims("all"));
    let mut all: Vec<Lot> = (0..LOTS).map(|_| lots.claim().unwrap()).collect();
    let error = lots.claim().unwrap_err().to_string();
    assert!(error.contains("all 1024 lots") && error.contains("nconnect"), "{error}");
    let freed = all.swap_remove(500).base();
    assert_eq!(lots.claim().unwrap().base(), freed, "the one that is free is found");
}

#[test]
fn a_claim_that_fails_for_another_reason_than_being_taken_says_why() {
    let error = host(&"x".repeat(200)).claim().unwrap_err();
    assert!(matches!(error, Error::XidClaim { .. }), "no name is so long: {error}");
}

/// Not a test of its own: what the processes of the next test do.
#[test]
fn claims_lots_for_another_test() {
    let Ok(claims) = std::env::var(ROLE) else { return };
    let mut lots = host(&claims);
    let mine: Vec<Lot> = (0..LOTS / 4).map(|_| lots.claim().unwrap()).collect();
    let bases: Vec<String> = mine.iter().map(|lot| lot.base().to_string()).collect();
    println!("\nclaimed {}", bases.join(" "));
    std::thread::sleep(std::time::Duration::from_secs(600));
}

/// A process that has claimed a quarter of all lots; which ones.
fn claimant(claims: &str) -> (Child, BTreeSet<u32>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lots::tests::claims_lots_for_another_test", "--nocapture"])
        .env(ROLE, claims)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let claimed = lines.filter_map(|line| line.strip_prefix("claimed ").map(str::to_owned)).next();
    let bases = claimed.unwrap().split(' ').map(|base| base.parse().unwrap()).collect();
    (child, bases)
}

#[test]
fn two_processes_of_a_host_never_share_xids_and_a_killed_one_frees_its_own() {
    let claims = own_claims("processes");
    let (mut first, of_first) = claimant(&claims);
    let (mut second, of_second) = claimant(&claims);
    assert_eq!((of_first.len(), of_second.len()), (256, 256));
    assert!(of_first.is_disjoint(&of_second));

    let mut lots = host(&claims);
    let rest: Vec<Lot> = (0..LOTS / 2).map(|_| lots.claim().unwrap()).collect();
    assert!(lots.claim().is_err());
    first.kill().unwrap();
    first.wait().unwrap();
    let freed: Vec<Lot> = (0..LOTS / 4).map(|_| lots.claim().unwrap()).collect();
    assert_eq!(freed.iter().map(Lot::base).collect::<BTreeSet<_>>(), of_first);
    drop(rest);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn seeded_lots_are_the_same_each_time_and_apart_within_a_mount() {
    let lots = |index| {
        let mut lots = Lots::new(Some(0x1234_5678), index);
        [0; 3].map(|_| lots.claim().unwrap().base())
    };
    assert_eq!(lots(0), lots(0));
    let of_mount: BTreeSet<u32> = (0..SEEDED_STRIDE).flat_map(lots).collect();
    assert_eq!(of_mount.len(), 3 * SEEDED_STRIDE as usize);
}

//! Dependencies point one way, and the host's side cannot name a secret of the guest's.
//!
//! ARCHITECTURE.md draws the picture; this test reads the same from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each of our crates with those of our crates that its code names (`[dependencies]` only).
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let ours: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let named = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .filter(|name| ours.contains(name))
                .collect();
            (package.name.to_string(), named)
        })
        .collect()
}

/// All that `from` reaches.
fn reached(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_string()];
    while let Some(name) = open.pop() {
        for next in &graph[&name] {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// The crates in which keys and private keys have their types.
const KEEPERS: [&str; 6] = [
    "ravelin-channel",
    "ravelin-guest-message",
    "ravelin-spdm",
    "ravelin-driver",
    "ravelin-dice",
    "ravelin-maker",
];

#[test]
fn the_host_cannot_name_a_key() {
    let graph = direct();
    for host in ["ravelin", "ravelin-devices"] {
        for keeper in KEEPERS {
            assert!(!graph[host].contains(keeper), "{host} depends on {keeper}");
        }
    }
}

#[test]
fn the_guests_side_does_not_reach_the_hosts() {
    let graph = direct();
    for guest in [
        "ravelin-channel",
        "ravelin-spdm",
        "ravelin-snp",
        "ravelin-guest-message",
        "ravelin-dice",
        "ravelin-attestation",
        "ravelin-driver",
        "ravelin-workload",
        "ravelin-agent",
    ] {
        let reached = reached(&graph, guest);
        for host in
            ["ravelin", "ravelin-devices", "ravelin-gpu-model", "ravelin-maker", "ravelin-sp-model"]
        {
            assert!(!reached.contains(host), "{guest} reaches {host}");
        }
    }
}

#[test]
fn the_gpu_knows_no_vmm_and_no_driver() {
    let reached = reached(&direct(), "ravelin-gpu-model");
    for other in ["ravelin", "ravelin-devices", "ravelin-driver"] {
        assert!(!reached.contains(other), "the GPU model reaches {other}");
    }
}

#[test]
fn what_both_sides_share_depends_on_nothing_of_ours() {
    let graph = direct();
    for shared in ["ravelin-gpu-abi", "ravelin-report", "ravelin-channel"] {
        assert_eq!(graph[shared], BTreeSet::new(), "{shared} is not at the bottom");
    }
}

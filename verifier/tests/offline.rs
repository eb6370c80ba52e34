//! The verifier needs no network, and nothing that it depends on could use one for it.

use std::process::Command;

/// Crates through which Rust programs reach a network.
const NETWORK: [&str; 14] = [
    "async-std",
    "curl",
    "h2",
    "hickory-resolver",
    "hyper",
    "isahc",
    "mio",
    "native-tls",
    "quinn",
    "reqwest",
    "rustls",
    "socket2",
    "tokio",
    "ureq",
];

#[test]
fn nothing_in_the_dependency_tree_speaks_to_a_network() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--package", env!("CARGO_PKG_NAME")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"bergshamra"), "this is not the verifier's tree");
    for name in NETWORK {
        assert!(!names.contains(&name), "the verifier depends on {name}");
    }
}

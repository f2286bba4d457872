//! What the repository keeps to: one provider of cryptography, versions above the floors of known
//! advisories, and the smallest Rust that builds them.

use std::process::Command;

use serde_json::Value;

/// The packages that the workspace is built from on this system. Those of other systems may
/// not even have been fetched.
fn packages() -> Vec<Value> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let about = Command::new(rustc).arg("-vV").output().expect("rustc runs");
    let about = String::from_utf8(about.stdout).expect("UTF-8");
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn version(text: &str) -> Vec<u64> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn no_second_provider_is_in_the_build() {
    // Cargo.lock names optional packages, too; the tree names what is built.
    for unwanted in ["ring", "rsa", "rustls-pemfile", "openssl", "native-tls"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--workspace", "--locked", "--offline", "--invert", unwanted])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
        assert!(tree.is_empty(), "{unwanted} is in the build:\n{tree}");
    }
}

#[test]
fn no_version_is_below_an_advisory() {
    let packages = packages();
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    // RustSec, read on 21 August 2026; jsonwebtoken: GHSA-h395-gr6q-cpjc.
    let floors = [
        ("aes-gcm", "0.10.3"),
        ("aws-lc-sys", "0.39.0"),
        ("h2", "0.4.16"),
        ("jsonwebtoken", "10.3.0"),
        ("reqwest", "0.13.4"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
        ("tokio-rustls", "0.13.1"),
    ];
    for (package, floor) in floors {
        let found: Vec<_> = packages.iter().filter(|found| name(found) == package).collect();
        assert!(!found.is_empty(), "{package} is not in the build: remove its floor");
        for found in found {
            let has = found["version"].as_str().unwrap_or_default();
            assert!(version(has) >= version(floor), "{package} {has} is below {floor}");
        }
    }
}

#[test]
fn rust_version_is_what_the_dependencies_need() {
    let packages = packages();
    let needs = |package: &Value| version(package["rust_version"].as_str().unwrap_or("1"));
    let is_ours = |package: &&Value| package["source"].is_null();
    let ours = packages.iter().filter(is_ours).map(needs).max().expect("our packages");
    let highest =
        packages.iter().filter(|package| !is_ours(package)).max_by_key(|package| needs(package));
    let highest = highest.expect("dependencies");
    assert!(
        ours >= needs(highest),
        "{} needs {:?}, Cargo.toml says {ours:?}",
        highest["name"],
        needs(highest)
    );
}

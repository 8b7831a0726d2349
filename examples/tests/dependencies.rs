//! What the tree of dependencies is promised not to have.

#[test]
fn there_is_no_tls_but_rustls_with_ring() {
    let names = include_str!("../../Cargo.lock").lines().filter_map(|line| line.strip_prefix("name = "));
    let names = names.map(|name| name.trim_matches('"')).collect::<Vec<_>>();
    assert!(names.contains(&"rustls") && names.contains(&"ring"), "the lock file was read");
    // openssl-probe is no part of OpenSSL: it finds the directory in which a system keeps its root certificates.
    let is_unwanted = |name: &&str| {
        (name.starts_with("openssl") && *name != "openssl-probe")
            || ["native-tls", "aws-lc", "boring"].iter().any(|prefix| name.starts_with(prefix))
    };
    assert_eq!(names.into_iter().filter(is_unwanted).collect::<Vec<_>>(), [""; 0]);
}

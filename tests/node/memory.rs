//! What a replica takes of the node's memory.

use crate::installation::Installation;
use crate::node::eventually;
use crate::stream::{self, Stream};

/// What is promised. Measured: below 17 MiB.
const LIMIT: u64 = 20 * 1024 * 1024;

#[test]
#[ignore = "needs a node: make node-test"]
fn a_replica_stays_small_under_load() {
    let this = Installation::enforcing();
    eventually("replaced replicas are gone", 90, || this.resident().len() == 3);
    let idle = this.resident();
    let streams: Vec<Stream> = (0..4).map(|n| Stream::start(this.node, &format!("load-{n}"))).collect();
    let mut highest = 0;
    for _ in 0..20 {
        streams[0].go_on(25);
        highest = highest.max(this.resident().into_iter().max().unwrap_or_default());
    }
    let calls: usize = streams.into_iter().map(|stream| stream.end_without_a_failure("memory").calls).sum();
    let mib = |bytes: u64| f64::from(u32::try_from(bytes / 1024).expect("below 4 TiB")) / 1024.0;
    println!(
        "resident memory of a replica: idle {:.1} to {:.1} MiB, under load at most {:.1} MiB ({calls} applies)",
        mib(*idle.iter().min().expect("three")),
        mib(*idle.iter().max().expect("three")),
        mib(highest)
    );
    assert!(highest <= LIMIT, "{highest} bytes");
    assert!(stream::apply(this.node, "probe", true).is_ok_and(|answer| stream::is_filled(&answer)));
}

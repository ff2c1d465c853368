//! A policy that changes all the time while workloads are created: every answer is that of exactly one policy, which was in force in its time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, Namespace};
use crate::policy_live::{HEAD, hash, holding};
use crate::webhook::{Webhook, eventually};
use crate::workloads::{complete, deployment, hair_trigger};

const POLICIES: usize = 200;
const CREATES: usize = 2_000;
/// Clients at once. Each waits for its answer, as kubectl does.
const CLIENTS: usize = 4;

/// How long after its successor was stored a policy may still judge. In force within 2 s is what is promised of a machine that is not loaded to the
/// brim; what a test must not miss is a policy that stays.
const SLACK: Duration = Duration::from_secs(15);

/// Number `n` names itself in three ways: its hash in a denial, which rule denies and which only warns, and the number that it fills in.
fn policy(n: usize) -> String {
    let (first, second) = if n.is_multiple_of(2) { ("deny", "warn") } else { ("warn", "deny") };
    format!(
        "{HEAD}profile: baseline\nrules: {{ hair-trigger-liveness: {first}, single-failure-readiness: {second} }}\ndefaults: {{ startupProbe: {{ failureThreshold: {} }} }}\n",
        n + 20
    )
}

#[derive(Clone)]
struct Seen {
    policy: usize,
    asked: Instant,
    answered: Instant,
}

/// One creation that is not stored, and by which policy it was judged (`denied`) or filled in.
fn create(namespace: &Namespace, hashes: &HashMap<String, usize>, denied: bool) -> usize {
    let object = if denied {
        let mut container = hair_trigger();
        container["readinessProbe"]["failureThreshold"] = json!(1);
        container["readinessProbe"]["timeoutSeconds"] = json!(2);
        deployment(&container)
    } else {
        let mut container = complete();
        container["startupProbe"].as_object_mut().expect("a probe").remove("failureThreshold");
        deployment(&container)
    };
    let target = format!("{}?dryRun=All", namespace.path("apis/apps/v1", "deployments"));
    let answer = namespace.cluster.call("POST", &target, &object);
    if !denied {
        assert_eq!(answer.code, 201, "{answer:?}");
        let filled = &answer.body["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["failureThreshold"];
        return usize::try_from(filled.as_u64().expect("a number")).expect("a small one") - 20;
    }
    assert_eq!(answer.code, 403, "{answer:?}");
    let message = answer.message();
    let (_, hash) = message.rsplit_once("Policy: baseline (").expect("the policy's name");
    let n = *hashes.get(hash.split(')').next().expect("a hash")).unwrap_or_else(|| panic!("no such policy: {message}"));
    let (first, second) = if n.is_multiple_of(2) {
        ("hair-trigger-liveness", "single-failure-readiness")
    } else {
        ("single-failure-readiness", "hair-trigger-liveness")
    };
    assert!(message.contains(" has 1 problem ") && message.contains(&format!("[{first}]")), "half of policy {n}: {message}");
    let named: Vec<_> = answer.warnings.iter().filter_map(|line| line.split_once(':')).map(|(rule, _)| rule).collect();
    assert!(named.contains(&second) && !named.contains(&first), "half of policy {n}: {named:?}");
    n
}

#[test]
fn every_answer_is_that_of_one_policy_of_its_time() {
    let cluster = Cluster::of_its_own();
    let namespace = &cluster.namespace("policy-storm");
    let target = namespace.path("api/v1", "configmaps");
    let hashes: HashMap<String, usize> = (0..=POLICIES + 2).map(|n| (hash(&policy(n)), n)).collect();
    assert_eq!(cluster.call("POST", &target, &holding(&policy(0))).code, 201);
    // Nothing checks the ConfigMap here: the invalid ones shall come through.
    let mut webhook = Webhook::following(namespace, false);
    webhook.wait_ready();
    let put = |text: &str| {
        let answer = cluster.call("PUT", &format!("{target}/policy"), &holding(text));
        assert_eq!(answer.code, 200, "{answer:?}");
    };

    // When each policy was sent and when it was stored.
    let start = Instant::now();
    let stored = Mutex::new(vec![(start, start)]);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut seen: Vec<Seen> = std::thread::scope(|scope| {
        let client = || {
            let mut seen = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= CREATES || failed.load(Ordering::Relaxed) {
                    return seen;
                }
                let asked = Instant::now();
                let policy = create(namespace, &hashes, n.is_multiple_of(2));
                seen.push(Seen { policy, asked, answered: Instant::now() });
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for n in 1..=POLICIES {
            // In step with the creations: at the tenth part of them, the tenth part of the changes was made.
            while next.load(Ordering::Relaxed) < n * CREATES / (POLICIES + 1)
                && clients.iter().any(|client| !client.is_finished())
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            let sent = Instant::now();
            put(&policy(n));
            stored.lock().expect("lock").push((sent, Instant::now()));
            if n.is_multiple_of(25) {
                put(&format!("{}rules: deny\n", policy(n + 1)));
            }
        }
        let seen = clients.into_iter().map(|client| client.join().inspect_err(|_| failed.store(true, Ordering::Relaxed)));
        seen.map(|seen| seen.expect("a client whose answers were all of one policy")).collect::<Vec<_>>().concat()
    });
    let stored = stored.into_inner().expect("lock");
    println!("{CREATES} creations and {POLICIES} changes in {:?}", start.elapsed());

    seen.sort_by_key(|seen| seen.asked);
    assert_eq!(seen.len(), CREATES);
    for seen in &seen {
        let (sent, _) = stored[seen.policy];
        assert!(sent <= seen.answered, "policy {} judged before it was sent", seen.policy);
        if let Some((_, replaced)) = stored.get(seen.policy + 1) {
            assert!(
                seen.asked <= *replaced + SLACK,
                "policy {} judged {:?} after it was replaced",
                seen.policy,
                seen.asked - *replaced
            );
        }
    }
    // One process never goes back to an older policy.
    let mut answered: Vec<&Seen> = seen.iter().collect();
    answered.sort_by_key(|seen| seen.answered);
    let (mut earlier, mut newest) = (answered.into_iter().peekable(), 0);
    for seen in &seen {
        while let Some(before) = earlier.next_if(|before| before.answered < seen.asked) {
            newest = newest.max(before.policy);
        }
        assert!(seen.policy >= newest, "policy {} judged after policy {newest}", seen.policy);
    }
    let policies = seen.iter().map(|seen| seen.policy).collect::<std::collections::HashSet<_>>().len();
    assert!(policies > POLICIES / 2, "only {policies} of the policies judged anything");

    let in_force = |n: usize| {
        let info = format!("probekeeper_policy_info{{hash=\"{}\",profile=\"baseline\"}} 1", hash(&policy(n)));
        assert!(eventually(|| webhook.counts(&info)), "policy {n} is not in force\n{}", webhook.log());
    };
    in_force(POLICIES);
    assert!(
        eventually(|| webhook.counts("probekeeper_policy_stale 1")),
        "the last content was an invalid one\n{}",
        webhook.log()
    );

    // The API server goes away and comes back: what is in force stays, and what comes next is not missed.
    cluster.restart();
    in_force(POLICIES);
    put(&policy(POLICIES + 1));
    in_force(POLICIES + 1);
    assert!(eventually(|| webhook.counts("probekeeper_policy_stale 0")), "{}", webhook.log());
    assert_eq!(create(namespace, &hashes, true), POLICIES + 1);
    // Once more with a change in the moment of the restart, when the watch is surely not back yet.
    cluster.restart();
    put(&policy(POLICIES + 2));
    in_force(POLICIES + 2);
    assert_eq!(create(namespace, &hashes, false), POLICIES + 2);
    assert!(webhook.lives() && webhook.readiness().contains("[+]policy ok\n"), "{}", webhook.readiness());
}

//! Changes of JSON that leave it JSON: bytes alone seldom get past the parser.

use serde_json::{Map, Value, json};

/// Keys that mean something to somebody.
const KEYS: [&str; 71] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "controller",
    "managedFields",
    "spec",
    "template",
    "jobTemplate",
    "containers",
    "initContainers",
    "restartPolicy",
    "hostNetwork",
    "terminationGracePeriodSeconds",
    "ports",
    "containerPort",
    "protocol",
    "env",
    "value",
    "valueFrom",
    "lifecycle",
    "preStop",
    "sleep",
    "exec",
    "command",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "httpGet",
    "httpHeaders",
    "path",
    "port",
    "host",
    "scheme",
    "tcpSocket",
    "grpc",
    "service",
    "probekeeper.dev/defaults",
    "probekeeper.dev/filled",
    "kubectl.kubernetes.io/last-applied-configuration",
    // of a policy
    "profile",
    "rules",
    "*",
    "action",
    "params",
    "minToleranceSeconds",
    "allowAnnotation",
    "defaults",
    "initialDelaySeconds",
    "timeoutSeconds",
    "addStartupProbe",
    "overrides",
    "match",
    "namespaces",
    "kinds",
    "matchLabels",
    "matchExpressions",
    "operator",
    "values",
    "images",
    "exemptions",
    "reason",
    "until",
    "workloads",
    "resource",
    "startup",
    "allowanceSeconds",
];

/// Changes `data[..size]` in place and returns its new size; `None` where it is not JSON or would not fit.
pub fn json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    let mut tree: Value = serde_json::from_slice(data.get(..size)?).ok()?;
    let mut dice = Dice(u64::from(seed) * 2 + 1);
    for _ in 0..=dice.below(3) {
        let mut all = Vec::new();
        pointers(&tree, "", &mut all);
        let donor = tree.pointer(&all[dice.below(all.len())])?.clone();
        change(tree.pointer_mut(&all[dice.below(all.len())])?, donor, &mut dice);
    }
    let text = if dice.below(4) == 0 { serde_json::to_vec_pretty(&tree) } else { serde_json::to_vec(&tree) }.ok()?;
    if text.len() > max_size {
        return None;
    }
    data.get_mut(..text.len())?.copy_from_slice(&text);
    Some(text.len())
}

fn change(place: &mut Value, donor: Value, dice: &mut Dice) {
    match (dice.below(6), place) {
        (0, place) => *place = donor,
        (1 | 2, Value::Object(object)) => change_members(object, donor, dice),
        (1 | 2, Value::Array(items)) => {
            let at = dice.below(items.len() + 1);
            match items.get(at).cloned() {
                Some(_) if dice.below(3) == 0 => drop(items.remove(at)),
                Some(item) if dice.below(2) == 0 => items.insert(at, item),
                _ => items.insert(at, donor),
            }
        }
        (3, Value::String(text)) => {
            let at = text.char_indices().map(|(at, _)| at).nth(dice.below(text.chars().count().max(1))).unwrap_or(0);
            text.insert_str(at, ["/", "\n", "\u{0}", "\"", "é", "$(HOST)", "127.0.0.1", "\u{1f600}", " "][dice.below(9)]);
        }
        (4, Value::Number(number)) => {
            let near = number.as_i64().unwrap_or(0).wrapping_add([1, -1, 10, -10][dice.below(4)]);
            *number = near.into();
        }
        (_, place) => *place = interesting(dice),
    }
}

fn change_members(object: &mut Map<String, Value>, donor: Value, dice: &mut Dice) {
    let key = object.keys().nth(dice.below(object.len().max(1))).cloned();
    match (dice.below(3), key) {
        (0, Some(key)) => drop(object.remove(&key)),
        (1, Some(key)) => {
            if let Some(value) = object.remove(&key) {
                object.insert(KEYS[dice.below(KEYS.len())].to_owned(), value);
            }
        }
        _ => drop(object.insert(KEYS[dice.below(KEYS.len())].to_owned(), donor)),
    }
}

fn interesting(dice: &mut Dice) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(10),
        json!(30),
        json!(600),
        json!(65_536),
        json!(i32::MAX),
        json!(i64::from(i32::MAX) + 1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.0),
        json!(0.5),
        json!(-0.0),
        json!(1e30),
        json!(""),
        json!("http"),
        json!("80"),
        json!("off"),
        json!("Always"),
        json!("localhost"),
        json!("HTTPS"),
        json!("CREATE"),
        json!("UPDATE"),
        json!("DELETE"),
        json!("Pod"),
        json!("Deployment"),
        json!("apps/v1"),
        json!([]),
        json!({}),
        json!(r#"{"app":{"livenessProbe":{"timeoutSeconds":5}}}"#),
        json!(r#"{"app":{"startupProbe":{"added":1,"periodSeconds":5},"preStop":{"sleepSeconds":5}}}"#),
        json!({ "httpGet": { "path": "/", "port": 80 } }),
        json!({ "exec": { "command": ["sh", "-c", "curl -f localhost"] } }),
        json!({ "tcpSocket": { "port": "http" } }),
        json!({ "grpc": { "port": 9000 } }),
        json!({ "preStop": { "sleep": { "seconds": 5 } } }),
        json!({ "name": "app", "image": "i" }),
        json!("deny"),
        json!("auto"),
        json!("leave"),
        json!("missing-readiness"),
        json!("team-*"),
        json!("2027-03-31"),
        json!("/spec/template"),
        json!({ "namespaces": ["shop"] }),
        json!({ "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["web"] }] }),
    ];
    values[dice.below(values.len())].clone()
}

/// Pointers of all nodes.
fn pointers(tree: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match tree {
        Value::Object(object) => {
            for (key, value) in object {
                pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

/// Numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % limit.max(1)
    }
}
